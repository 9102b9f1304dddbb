"""Each field of a client's metadata by itself: its type, its limits, its words."""

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, get_args

from idp.clients import redirect_uri
from idp.errors import InvalidClientMetadata, InvalidRedirectUri
from idp.keys.foreign_key import ForeignKeyError, read_jwk_set

AuthMethod: TypeAlias = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
GrantType: TypeAlias = Literal["authorization_code", "refresh_token", "client_credentials"]

MAX_NAME_LENGTH = 64
MAX_URIS = 20
MAX_AUDIENCES = 50
MAX_KEYS = 10
MAX_CONTACTS = 10
MAX_CONTACT_LENGTH = 254  # RFC 5321 §4.5.3.1.3 as corrected: no e-mail address is longer.
MAX_SCOPE_LENGTH = 1_000
MAX_AGE_SECONDS = 10 * 365 * 86_400

_FIELD_NAME = re.compile(r"[A-Za-z0-9_#.\-]{1,64}")
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3
# RFC 8707 §2: an absolute URI (RFC 3986 §4.3), which has no fragment.
_ABSOLUTE_URI = re.compile(
    r"[A-Za-z][A-Za-z0-9+.\-]*:(?:[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+"
)
_FRAGMENT = re.compile(r"(?:[A-Za-z0-9\-._~:/?@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")  # RFC 3986 §3.5
# Scripts that a person would run or open, never an API's name.
_ACTIVE_SCHEMES = ("javascript:", "data:", "vbscript:", "file:", "blob:", "about:")
# They turn the direction of the text around them: a name could pose as another on the consent page.
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Control, surrogate, private use, unassigned, line and paragraph separator.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})

Reader: TypeAlias = Callable[[str, object], object]


def read(values: Mapping[str, object]) -> dict[str, Any]:
    """Read every given field by its own rule; raises InvalidClientMetadata for the first fault."""
    # Any: each value has the type that its reader answers; the type checker cannot follow names in a dict.
    given: dict[str, Any] = {}
    for name, value in values.items():
        reader = _READERS.get(name)
        if reader is None:
            shown = name if _FIELD_NAME.fullmatch(name) else "a field"
            raise InvalidClientMetadata(f"{shown} is not a client metadata field that is known here")
        if value is not None:
            given[name] = reader(name, value)
    return given


def _text(name: str, value: object, *, max_length: int) -> str:
    if not isinstance(value, str):
        raise InvalidClientMetadata(f"{name} must be a string")
    if not 1 <= len(value) <= max_length:
        raise InvalidClientMetadata(f"{name} must be 1 to {max_length} characters long")
    return value


def _printable(name: str, value: object, *, max_length: int) -> str:
    text = _text(name, value, max_length=max_length)
    if any(char in _BIDI_CONTROLS or unicodedata.category(char) in _UNPRINTABLE for char in text):
        raise InvalidClientMetadata(f"{name} must not contain control or direction characters")
    if text != text.strip() or all(unicodedata.category(char) in {"Cf", "Mn", "Zs"} for char in text):
        raise InvalidClientMetadata(f"{name} must begin and end with visible text")
    return text


def _client_name(name: str, value: object) -> str:
    return _printable(name, value, max_length=MAX_NAME_LENGTH)


def _texts(name: str, value: object, *, max_count: int, max_length: int) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidClientMetadata(f"{name} must be an array of strings")
    if len(value) > max_count:
        raise InvalidClientMetadata(f"{name} must have at most {max_count} entries")
    texts = (
        _text(f"{name}, entry {position}:", text, max_length=max_length)
        for position, text in enumerate(value, start=1)
    )
    return tuple(dict.fromkeys(texts))


def _uris(name: str, value: object) -> tuple[str, ...]:
    return _texts(name, value, max_count=MAX_URIS, max_length=redirect_uri.MAX_LENGTH)


def _contacts(name: str, value: object) -> tuple[str, ...]:
    contacts = _texts(name, value, max_count=MAX_CONTACTS, max_length=MAX_CONTACT_LENGTH)
    return tuple(_printable(name, contact, max_length=MAX_CONTACT_LENGTH) for contact in contacts)


def _audience(name: str, value: object) -> str:
    audience = _text(name, value, max_length=redirect_uri.MAX_LENGTH)
    if not _ABSOLUTE_URI.fullmatch(audience) or audience.lower().startswith(_ACTIVE_SCHEMES):
        raise InvalidClientMetadata(f"{name} must name APIs by absolute URIs without fragment")
    return audience


def _audiences(name: str, value: object) -> tuple[str, ...]:
    texts = _texts(name, value, max_count=MAX_AUDIENCES, max_length=redirect_uri.MAX_LENGTH)
    return tuple(_audience(name, text) for text in texts)


def _one_of(*allowed: str) -> Reader:
    def reader(name: str, value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise InvalidClientMetadata(f"{name} must be {' or '.join(allowed)}")
        return value

    return reader


def _some_of(*allowed: str, may_be_empty: bool = False) -> Reader:
    def reader(name: str, value: object) -> tuple[str, ...]:
        texts = _texts(name, value, max_count=len(allowed), max_length=64)
        if not set(texts) <= set(allowed) or not (texts or may_be_empty):
            raise InvalidClientMetadata(f"{name} must be made of {', '.join(allowed)}")
        return texts

    return reader


def _scope(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_SCOPE_LENGTH:
        raise InvalidClientMetadata(
            f"{name} must be a string of at most {MAX_SCOPE_LENGTH} characters, its values parted by spaces"
        )
    tokens = [token for token in value.split(" ") if token]
    if not all(_SCOPE_TOKEN.fullmatch(token) for token in tokens):
        raise InvalidClientMetadata(f"{name} has a value with characters that RFC 6749 does not allow")
    return " ".join(dict.fromkeys(tokens))


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidClientMetadata(f"{name} must be true or false")
    return value


def _seconds(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_AGE_SECONDS:
        raise InvalidClientMetadata(f"{name} must be a whole number of seconds, 0 to {MAX_AGE_SECONDS}")
    return value


def _web_host(name: str, uri: str) -> str:
    try:
        return redirect_uri.check_web_uri(uri).host
    except InvalidRedirectUri as fault:
        raise InvalidClientMetadata(f"{name} {fault.description}") from fault


def _endpoint(name: str, value: object) -> str:
    """Read an address that we send requests or browsers to."""
    uri = _text(name, value, max_length=redirect_uri.MAX_LENGTH)
    address = _ip_address(_web_host(name, uri))
    # A company's own network is a fair place for its client; a cloud's metadata service never is.
    if address and not address.is_loopback and (address.is_link_local or not _can_be_host(address)):
        raise InvalidClientMetadata(f"{name} must name a host that can be a client's")
    return uri


def _page(name: str, value: object) -> str:
    """Read an address that a person may follow; it may have a fragment, and we never fetch it."""
    uri = _text(name, value, max_length=redirect_uri.MAX_LENGTH)
    page, _, fragment = uri.partition("#")
    address = _ip_address(_web_host(name, page))
    if address and not (address.is_loopback or address.is_global):
        raise InvalidClientMetadata(f"{name} must name a public host")
    if not _FRAGMENT.fullmatch(fragment):
        raise InvalidClientMetadata(f"{name} has a fragment with characters that a URI cannot have")
    return uri


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _can_be_host(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return not (address.is_multicast or address.is_unspecified or address.is_reserved)


def _jwks(name: str, value: object) -> dict[str, object]:
    # RFC 7517 §5; each key is judged as it will be when it verifies (idp/keys/foreign_key.py).
    if not isinstance(value, dict):
        raise InvalidClientMetadata(f"{name} must be a JWK Set")
    try:
        read_jwk_set(value, most_keys=MAX_KEYS)
    except ForeignKeyError as fault:
        raise InvalidClientMetadata(f"{name}: {fault}") from fault
    return value


_READERS: dict[str, Reader] = {
    "client_name": _client_name,
    "redirect_uris": _uris,
    "post_logout_redirect_uris": _uris,
    "token_endpoint_auth_method": _one_of(*get_args(AuthMethod)),
    "grant_types": _some_of(*get_args(GrantType), may_be_empty=True),
    "response_types": _some_of("code", may_be_empty=True),
    "scope": _scope,
    "jwks": _jwks,
    "jwks_uri": _endpoint,
    "application_type": _one_of(*get_args(redirect_uri.ApplicationType)),
    "client_uri": _page,
    "logo_uri": _page,
    "policy_uri": _page,
    "tos_uri": _page,
    "contacts": _contacts,
    "audiences": _audiences,
    "default_audience": _audience,
    "backchannel_logout_uri": _endpoint,
    "backchannel_logout_session_required": _flag,
    "frontchannel_logout_uri": _endpoint,
    "frontchannel_logout_session_required": _flag,
    "default_max_age": _seconds,
    "require_auth_time": _flag,
    "initiate_login_uri": _endpoint,
    "dpop_bound_access_tokens": _flag,
    "require_pushed_authorization_requests": _flag,
    "userinfo_signed_response_alg": _one_of("RS256"),
}
