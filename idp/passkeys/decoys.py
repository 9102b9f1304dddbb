"""Credential ids for addresses without passkeys, so that what is answered for an address tells nothing of it.

WebAuthn L3 §14.6.2: the answer for an unknown name has the shape of a known one's and stays the same from one
request to the next. No entry names transports: a decoy could not keep its story straight with real ones.
"""

import hashlib
import hmac
from collections.abc import Sequence

GROUP_SIZE = 4
"""A list always holds a multiple of this, so that one passkey and none, or two, look alike."""

# Met in the field, by how often: most password managers 16, Apple 20, Windows Hello 32, YubiKeys 48 and 64.
_LENGTHS = (16, 16, 16, 16, 16, 16, 20, 20, 20, 20, 20, 32, 32, 32, 48, 64)


def mix(credential_ids: Sequence[bytes], *, normalized_address: str, key: bytes) -> list[bytes]:
    """Fill up real ids with decoys of this address, in an order that tells neither from the other."""
    wanted = GROUP_SIZE * max(1, -(-len(credential_ids) // GROUP_SIZE))
    decoys = [
        _decoy(index, normalized_address=normalized_address, key=key)
        for index in range(wanted - len(credential_ids))
    ]
    return sorted(
        [*credential_ids, *decoys], key=lambda value: hmac.digest(key, b"order\0" + value, "sha256")
    )


def _decoy(index: int, *, normalized_address: str, key: bytes) -> bytes:
    message = b"decoy\0" + index.to_bytes(4, "big") + normalized_address.encode()
    value = hmac.digest(key, message, hashlib.sha512)
    choice = hmac.digest(key, b"length\0" + message, hashlib.sha256)[0]
    return value[: _LENGTHS[choice % len(_LENGTHS)]]
