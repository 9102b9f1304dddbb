"""Metadata documents and the JWKS."""
