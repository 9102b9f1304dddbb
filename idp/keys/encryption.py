from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from idp import opaque_token
from idp.keys.master_key import KEY_ID_LENGTH, MasterKey

VERSION = b"\x01"
_PURPOSE = "encryption at rest"
_NONCE_LENGTH = 12  # NIST SP 800-38D §8.2: the length for which random nonces are meant.
_TAG_LENGTH = 16
_HEADER_LENGTH = len(VERSION) + KEY_ID_LENGTH
_SHORTEST = _HEADER_LENGTH + _NONCE_LENGTH + _TAG_LENGTH


class DecryptionError(ValueError):
    """Stored bytes are not what this master key encrypted for this context."""


def encrypt(key: MasterKey, plaintext: bytes, *, context: str) -> bytes:
    """Encrypt and authenticate (AES-256-GCM); only the same key and context decrypt it.

    Version byte, key id, nonce, ciphertext. The context names the place (kind and id of the row), so that no
    ciphertext can be moved to another.
    """
    header = VERSION + key.key_id
    nonce = opaque_token.random_bytes(_NONCE_LENGTH)
    return header + nonce + _cipher(key).encrypt(nonce, plaintext, header + context.encode())


def decrypt(key: MasterKey, ciphertext: bytes, *, context: str) -> bytes:
    """Answer what was encrypted. Raises DecryptionError when anything differs: key, context or one bit."""
    if len(ciphertext) < _SHORTEST or not ciphertext.startswith(VERSION):
        raise DecryptionError("not in a format that this release encrypts in")
    header = ciphertext[:_HEADER_LENGTH]
    key_id = header[len(VERSION) :]
    if key_id != key.key_id:
        raise DecryptionError(
            f"encrypted with master key {key_id.hex()}, and the one in use is {key.key_id.hex()}"
        )
    nonce = ciphertext[_HEADER_LENGTH : _HEADER_LENGTH + _NONCE_LENGTH]
    try:
        return _cipher(key).decrypt(
            nonce, ciphertext[_HEADER_LENGTH + _NONCE_LENGTH :], header + context.encode()
        )
    except InvalidTag as fault:
        raise DecryptionError("damaged, moved from elsewhere, or of another master key") from fault


def _cipher(key: MasterKey) -> AESGCM:
    return AESGCM(key.derive(_PURPOSE))


@dataclass(frozen=True, slots=True)
class EncryptionAtRest:
    """Encryption with the master key, for rooms that may not know keys (the outbox's Sealer)."""

    key: MasterKey

    def encrypt(self, plaintext: bytes, *, context: str) -> bytes:
        """As `encrypt` of this module, with the key at hand."""
        return encrypt(self.key, plaintext, context=context)

    def decrypt(self, ciphertext: bytes, *, context: str) -> bytes:
        """As `decrypt` of this module, with the key at hand."""
        return decrypt(self.key, ciphertext, context=context)
