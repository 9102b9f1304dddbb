"""Signing keys and the master key: keyring, signing, encryption at rest, rotation. The only importer of PyJWT."""
