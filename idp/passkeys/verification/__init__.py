"""What a browser sends after a ceremony, read strictly and verified: pure rules, the wrapper of `webauthn`.

py_webauthn checks signatures and hashes; the steps of WebAuthn L3 §7.1 and §7.2 that it leaves out are here,
and so is everything that keeps hostile bytes from it. Each fault is a CeremonyError with a fixed reason.
"""
