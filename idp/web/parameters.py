import json
import math
from collections.abc import Iterable, Mapping
from typing import NoReturn
from urllib.parse import parse_qsl, urlencode

from starlette.requests import ClientDisconnect, Request

from idp.errors import InvalidRequest, RequestTooLarge, UnsupportedMediaType

MAX_BODY_BYTES = 64 * 1024
MAX_QUERY_BYTES = 32 * 1024
MAX_PARAMETERS = 100
MAX_JSON_DEPTH = 32
MAX_JSON_MEMBERS = 2000
MAX_INTEGER_DIGITS = 40

# bool before int would not matter here; JSON's own types, nothing else.
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Parameters:
    """The parameters of one request: decoded strictly, empty ones left out, repetition remembered.

    RFC 6749 §3.1: a parameter without a value counts as omitted, and none may be repeated.
    """

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            if value:
                self._values.setdefault(name, []).append(value)

    def get(self, name: str) -> str | None:
        """Answer a parameter's value; repetition raises InvalidRequest."""
        values = self._values.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise InvalidRequest(f"{name} must not be repeated")
        return values[0]

    def require(self, name: str) -> str:
        """Answer a parameter's value; absence or repetition raises InvalidRequest."""
        value = self.get(name)
        if value is None:
            raise InvalidRequest(f"{name} is required")
        return value

    def get_all(self, name: str) -> tuple[str, ...]:
        """Answer every value of a parameter that may be repeated (RFC 8707 §2: resource)."""
        return tuple(self._values.get(name, ()))

    def get_json(self, name: str) -> dict[str, Json] | None:
        """Read a parameter whose value is a JSON object, as strictly as a body; raises InvalidRequest."""
        value = self.get(name)
        if value is None:
            return None
        try:
            return parse_json_object(value.encode())
        except InvalidRequest as fault:
            raise InvalidRequest(f"{name} must be one JSON object: {fault.description}") from fault

    def repeated(self, *, except_for: str) -> str | None:
        """Name a parameter that is repeated and must not be."""
        return next((n for n, values in self._values.items() if len(values) > 1 and n != except_for), None)

    def names(self) -> frozenset[str]:
        """Name every parameter that has a value."""
        return frozenset(self._values)

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Answer all of them, as they came."""
        return tuple((name, value) for name, values in self._values.items() for value in values)


def query_parameters(request: Request) -> Parameters:
    """Read the query string; raises InvalidRequest."""
    raw: bytes = request.scope["query_string"]
    if len(raw) > MAX_QUERY_BYTES:
        raise InvalidRequest("the query string is too long")
    return _decode(raw)


def query_string(pairs: Iterable[tuple[str, str]]) -> str:
    """Spell parameters for an address of ours; raises InvalidRequest when it would not be read there."""
    query = urlencode(list(pairs))
    if len(query) > MAX_QUERY_BYTES:
        raise InvalidRequest("the request is too long")
    return query


async def form_parameters(request: Request) -> Parameters:
    """Read an `application/x-www-form-urlencoded` body; any other kind is refused before it is read."""
    _require_media_type(request, "application/x-www-form-urlencoded")
    return _decode(await read_body(request))


async def json_object(request: Request) -> dict[str, Json]:
    """Read an `application/json` body that holds one object, strictly; raises InvalidRequest."""
    _require_media_type(request, "application/json")
    return parse_json_object(await read_body(request))


def parse_json_object(raw: bytes) -> dict[str, Json]:
    """Read one JSON object: no duplicate member, no NaN, no giant number, no abyss of nesting."""
    # Depth is judged before parsing: the parser itself recurses.
    if _depth(raw) > MAX_JSON_DEPTH or raw.count(b":") > MAX_JSON_MEMBERS:
        raise InvalidRequest("the JSON is nested too deeply or has too many members")
    try:
        value: Json = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_int=_parse_integer,
            parse_float=_parse_fraction,
        )
    except ValueError as fault:  # Also JSONDecodeError and UnicodeDecodeError.
        raise InvalidRequest("the body is not valid JSON") from fault
    if not isinstance(value, dict):
        raise InvalidRequest("the body must be a JSON object")
    if not _is_clean(value):
        raise InvalidRequest("the JSON holds a NUL or half a character")
    return value


async def read_body(request: Request) -> bytes:
    """Read a body up to the limit; a longer one is refused as soon as that is known."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > MAX_BODY_BYTES:  # noqa: PLR2004 - 64 bits
        raise RequestTooLarge("the body is too large")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise RequestTooLarge("the body is too large")
    except ClientDisconnect as fault:
        raise InvalidRequest("the body ended early") from fault
    return bytes(body)


def _require_media_type(request: Request, expected: str) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != expected:
        raise UnsupportedMediaType(f"Content-Type must be {expected}")


def _decode(raw: bytes) -> Parameters:
    try:
        text = raw.decode("utf-8")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError as fault:  # Also UnicodeDecodeError.
        raise InvalidRequest("parameters must be UTF-8, form-encoded, and at most 100") from fault
    if "\0" in text or "%00" in text:
        raise InvalidRequest("parameters must not hold NUL")
    return Parameters(pairs)


def _depth(raw: bytes) -> int:
    deepest = depth = 0
    for byte in raw:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _without_duplicates(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _parse_integer(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:
        raise ValueError("number too large")
    return int(text)


def _parse_fraction(text: str) -> float:
    value = float(text)
    # 1e999 is JSON, and infinity to Python: as little a number as the word Infinity.
    if not math.isfinite(value):
        raise ValueError("number too large")
    return value


def _is_clean(value: Json) -> bool:
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, Mapping):
        return all(_is_clean(key) and _is_clean(member) for key, member in value.items())
    if isinstance(value, list):
        return all(_is_clean(member) for member in value)
    return True
