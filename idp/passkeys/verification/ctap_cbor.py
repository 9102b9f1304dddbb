"""The CBOR that authenticators write (CTAP 2.2 §8, canonical form), decoded with no more trust than that.

No indefinite length, no tag, no float, no duplicate key, four levels of nesting, and no length is believed
before the bytes are there: hostile CBOR ends here, before a general decoder sees it.
"""

from typing import TypeAlias

from idp.passkeys.verification.ceremony_error import CeremonyError

Cbor: TypeAlias = "bool | int | bytes | str | list[Cbor] | dict[int | str, Cbor] | None"

MAX_DEPTH = 4  # CTAP 2.2 §8: no message nests deeper.

_SIMPLE = {20: False, 21: True, 22: None}
_ARGUMENT_LENGTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_SIMPLE_VALUE = 7


def decode(data: bytes) -> Cbor:
    """Decode one item that fills `data`; raises CeremonyError."""
    value, end = decode_first(data, start=0)
    if end != len(data):
        raise CeremonyError("cbor_trailing_bytes")
    return value


def decode_first(data: bytes, *, start: int) -> tuple[Cbor, int]:
    """Decode the item at `start`; answer it and where it ends. Raises CeremonyError."""
    return _item(data, start, depth=0)


def _item(data: bytes, at: int, *, depth: int) -> tuple[Cbor, int]:
    if at >= len(data) or depth > MAX_DEPTH:
        raise CeremonyError("cbor_malformed")
    major, information = data[at] >> 5, data[at] & 0x1F
    if major == _SIMPLE_VALUE:
        if information not in _SIMPLE:
            raise CeremonyError("cbor_malformed")
        return _SIMPLE[information], at + 1
    argument, at = _argument(data, at + 1, information)
    match major:
        case 0:
            return argument, at
        case 1:
            return -1 - argument, at
        case 2:
            return _string(data, at, argument)
        case 3:
            return _text(data, at, argument)
        case 4:
            return _array(data, at, argument, depth=depth)
        case 5:
            return _map(data, at, argument, depth=depth)
    raise CeremonyError("cbor_malformed")


def _argument(data: bytes, at: int, information: int) -> tuple[int, int]:
    if information < min(_ARGUMENT_LENGTHS):
        return information, at
    length = _ARGUMENT_LENGTHS.get(information)
    if length is None or at + length > len(data):
        raise CeremonyError("cbor_malformed")
    return int.from_bytes(data[at : at + length], "big"), at + length


def _string(data: bytes, at: int, length: int) -> tuple[bytes, int]:
    if length > len(data) - at:
        raise CeremonyError("cbor_malformed")
    return data[at : at + length], at + length


def _text(data: bytes, at: int, length: int) -> tuple[str, int]:
    raw, end = _string(data, at, length)
    try:
        return raw.decode("utf-8"), end
    except UnicodeDecodeError as fault:
        raise CeremonyError("cbor_malformed") from fault


def _array(data: bytes, at: int, count: int, *, depth: int) -> tuple[list[Cbor], int]:
    values: list[Cbor] = []
    for _ in range(_believable(count, data, at)):
        value, at = _item(data, at, depth=depth + 1)
        values.append(value)
    return values, at


def _map(data: bytes, at: int, count: int, *, depth: int) -> tuple[dict[int | str, Cbor], int]:
    members: dict[int | str, Cbor] = {}
    for _ in range(_believable(count, data, at)):
        key, at = _item(data, at, depth=depth + 1)
        # bool is an int to Python, and True would pass for the key 1.
        if isinstance(key, bool) or not isinstance(key, int | str) or key in members:
            raise CeremonyError("cbor_malformed")
        members[key], at = _item(data, at, depth=depth + 1)
    return members, at


def _believable(count: int, data: bytes, at: int) -> int:
    # Every item takes a byte at least.
    if count > len(data) - at:
        raise CeremonyError("cbor_malformed")
    return count
