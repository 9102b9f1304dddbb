"""Randomness: the one place that draws it, and the one spelling (base64url, unpadded) of opaque values."""

import base64
import binascii
import hashlib
import secrets


def random_bytes(length: int) -> bytes:
    """Draw `length` bytes from the operating system's generator."""
    return secrets.token_bytes(length)


def new_token() -> str:
    """Draw a 256-bit token of 43 unreserved characters, safe in URLs, headers and forms."""
    return encode(random_bytes(32))


def new_identifier() -> str:
    """Draw a 128-bit public identifier of 22 unreserved characters.

    It begins with a letter or digit, so that no command takes it for an option.
    """
    while (identifier := encode(random_bytes(16)))[0] in "-_":
        pass
    return identifier


def sha256(token: str) -> bytes:
    """Digest a high-entropy token for storage and lookup.

    A plain digest is enough for 256 random bits; it is not for anything that a person chose.
    """
    return hashlib.sha256(token.encode()).digest()


def encode(value: bytes) -> str:
    """Spell bytes as unpadded base64url (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decode(text: str) -> bytes | None:
    """Read unpadded base64url in its one canonical spelling; anything else is None.

    Padding, the standard alphabet, white space and set spare bits are all refused, so that two different
    texts never name one value.
    """
    try:
        value = base64.b64decode(
            text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
        )
    except (UnicodeEncodeError, binascii.Error):
        return None
    return value if encode(value) == text else None
