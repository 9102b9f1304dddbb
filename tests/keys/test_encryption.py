import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from idp.keys.encryption import DecryptionError, EncryptionAtRest, decrypt, encrypt
from tests.keys.signing_keys import MASTER_KEY, OTHER_MASTER_KEY


@given(plaintext=st.binary(max_size=200), context=st.text(st.characters(codec="utf-8"), max_size=20))
def test_what_was_encrypted_is_decrypted(plaintext: bytes, context: str) -> None:
    assert decrypt(MASTER_KEY, encrypt(MASTER_KEY, plaintext, context=context), context=context) == plaintext


def test_the_format_is_version_key_id_nonce_ciphertext() -> None:
    stored = encrypt(MASTER_KEY, b"secret", context="totp:1")
    assert stored[:1] == b"\x01"
    assert stored[1:3] == MASTER_KEY.key_id
    cipher = AESGCM(MASTER_KEY.derive("encryption at rest"))
    assert cipher.decrypt(stored[3:15], stored[15:], stored[:3] + b"totp:1") == b"secret"


def test_the_same_plaintext_is_never_stored_the_same() -> None:
    assert encrypt(MASTER_KEY, b"same", context="x") != encrypt(MASTER_KEY, b"same", context="x")


def test_another_context_does_not_decrypt() -> None:
    stored = encrypt(MASTER_KEY, b"secret", context="totp:1")
    with pytest.raises(DecryptionError):
        decrypt(MASTER_KEY, stored, context="totp:2")


def test_another_master_key_is_named() -> None:
    stored = encrypt(MASTER_KEY, b"secret", context="x")
    with pytest.raises(DecryptionError, match=MASTER_KEY.key_id.hex()):
        decrypt(OTHER_MASTER_KEY, stored, context="x")


def test_another_master_key_with_the_same_id_does_not_decrypt() -> None:
    stored = encrypt(MASTER_KEY, b"secret", context="x")
    with pytest.raises(DecryptionError):
        decrypt(OTHER_MASTER_KEY, b"\x01" + OTHER_MASTER_KEY.key_id + stored[3:], context="x")


def test_every_changed_bit_is_noticed() -> None:
    stored = encrypt(MASTER_KEY, b"secret", context="x")
    for bit in range(len(stored) * 8):
        spoiled = bytearray(stored)
        spoiled[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecryptionError):
            decrypt(MASTER_KEY, bytes(spoiled), context="x")


def test_every_cut_is_noticed() -> None:
    stored = encrypt(MASTER_KEY, b"secret", context="x")
    for length in range(len(stored)):
        with pytest.raises(DecryptionError):
            decrypt(MASTER_KEY, stored[:length], context="x")


def test_encryption_at_rest_holds_its_key() -> None:
    at_rest = EncryptionAtRest(MASTER_KEY)
    stored = at_rest.encrypt(b"secret", context="outbox:1")
    assert decrypt(MASTER_KEY, stored, context="outbox:1") == b"secret"
    assert at_rest.decrypt(stored, context="outbox:1") == b"secret"
