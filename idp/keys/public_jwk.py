import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from idp import opaque_token


def public_jwk(key: RSAPublicKey) -> dict[str, str]:
    """Spell the public key as a JWK with its required members alone (RFC 7518 §6.3.1)."""
    numbers = key.public_numbers()
    return {"kty": "RSA", "n": _base64url_uint(numbers.n), "e": _base64url_uint(numbers.e)}


def thumbprint(jwk: dict[str, str]) -> str:
    """Name an RSA key by its own content (RFC 7638), so that a kid can never mean two keys."""
    # RFC 7638 §3.2, §3.3: the required members in lexicographic order, without white space.
    members = {name: jwk[name] for name in ("e", "kty", "n")}
    canonical = json.dumps(members, separators=(",", ":"))
    return opaque_token.encode(hashlib.sha256(canonical.encode()).digest())


def _base64url_uint(value: int) -> str:
    # RFC 7518 §2: big-endian in the fewest octets.
    return opaque_token.encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))
