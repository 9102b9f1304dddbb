"""Which redirect URIs can be registered, and whether a presented one is registered.

Registering is strict, so that matching can be plain: a presented URI is the registered text, character for
character. The one freedom is the port of a loopback IP address (RFC 8252 §7.3).
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import unquote_plus

from idp.errors import InvalidRedirectUri, VerifiedRedirectUri

ApplicationType: TypeAlias = Literal["web", "native"]

MAX_LENGTH = 2_000
MAX_HOST_LENGTH = 253  # RFC 1123 §2.1
MAX_PORT = 65_535
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "[::1]", "localhost"})
# RFC 6749 §4.1.2, RFC 9207 §2, RFC 9101: what we add to the query, which must then be there once.
_RESPONSE_PARAMETERS = frozenset(
    {"code", "state", "iss", "error", "error_description", "error_uri", "response"}
)

# RFC 3986 §2: what a URI is written with. Spaces, controls, backslashes and all but ASCII are left out.
_URI = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(.*)")
_WEB = re.compile(r"//([^/?]*)([^?]*)(?:\?(.*))?")
_PRIVATE_USE = re.compile(r"(/(?!/)[^?]*)(?:\?(.*))?")
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]+)(?::(.*))?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?")
# WHATWG URL §3.5: to a browser, a host whose last label is a number is an IPv4 address.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# A server behind the client may decode these once more than the browser did (Keycloak CVE-2026-3872).
_ENCODED_DELIMITER = re.compile(r"%(?:2[EeFf5]|3[Bb]|5[Cc])")

_LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(?::([1-9][0-9]{0,4}))?((?:[/?].*)?)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class WebUri:
    """The parts of an http(s) URI that passed `check_web_uri`; an IPv6 `host` keeps its brackets."""

    scheme: str
    host: str
    port: str | None

    @property
    def origin(self) -> tuple[str, str, str]:
        """Scheme, host and port, the default port filled in."""
        return self.scheme, self.host, self.port or ("443" if self.scheme == "https" else "80")


def check_registrable(uri: str, *, application_type: ApplicationType) -> str:
    """Answer `uri` itself if it can be registered; raises InvalidRedirectUri with the reason."""
    scheme, rest = _split_scheme(uri)
    if scheme in {"https", "http"}:
        check_web_uri(uri)
        query = rest.partition("?")[2]
    else:
        query = _check_private_use(scheme, rest, application_type=application_type)
    names = {unquote_plus(pair.partition("=")[0]) for pair in query.split("&")}
    if names & _RESPONSE_PARAMETERS:
        raise InvalidRedirectUri("must not carry a parameter that the response adds, such as code or state")
    return uri


def match_registered(registered: tuple[str, ...], presented: str) -> VerifiedRedirectUri | None:
    """Answer the presented URI as a verified one if it is registered, else None."""
    if len(presented) > MAX_LENGTH:
        return None
    # RFC 9700 §4.1.3, RFC 3986 §6.2.1: simple string comparison, no normalisation on either side.
    if presented in registered:
        return VerifiedRedirectUri(presented)
    # RFC 8252 §7.3: the port of a loopback IP address is free. `localhost` is a name, and exact.
    portless = _without_loopback_port(presented)
    if portless is None:
        return None
    if any(_without_loopback_port(uri) == portless for uri in registered):
        return VerifiedRedirectUri(presented)
    return None


def check_web_uri(uri: str) -> WebUri:
    """Answer the parts of an https URI (http on loopback) in its one plain spelling.

    Raises InvalidRedirectUri with the reason.
    """
    scheme, rest = _split_scheme(uri)
    if scheme not in {"https", "http"}:
        raise InvalidRedirectUri("must be an https URI")
    parts = _WEB.fullmatch(rest)
    if parts is None:
        raise InvalidRedirectUri("must have two slashes and a host after the scheme")
    authority, path = parts[1], parts[2]
    if "@" in authority:
        raise InvalidRedirectUri("must not contain a user name or password")
    host_and_port = _AUTHORITY.fullmatch(authority)
    if host_and_port is None:
        raise InvalidRedirectUri("must name a host")
    host, port = host_and_port[1], host_and_port[2]
    _check_host(host)
    _check_port(port)
    _check_path(path)
    # OAuth 2.1 §2.3.1: TLS, except where the answer never leaves the machine.
    if scheme == "http" and host not in LOOPBACK_HOSTS:
        raise InvalidRedirectUri("must use https; http is for 127.0.0.1, [::1] and localhost alone")
    return WebUri(scheme=scheme, host=host, port=port)


def _split_scheme(uri: str) -> tuple[str, str]:
    if len(uri) > MAX_LENGTH:
        raise InvalidRedirectUri(f"must be at most {MAX_LENGTH} characters long")
    if not _URI.fullmatch(uri) or _ENCODED_CONTROL.search(uri):
        raise InvalidRedirectUri("must be plain ASCII without spaces, control characters or backslashes")
    # OAuth 2.1 §2.3: the URI must not include a fragment, not even an empty one.
    if "#" in uri:
        raise InvalidRedirectUri("must not have a fragment (#)")
    if "*" in uri:
        raise InvalidRedirectUri("must not contain a wildcard (*); register every URI in full")
    parts = _SCHEME.fullmatch(uri)
    if parts is None:
        raise InvalidRedirectUri("must be absolute, for example https://app.example.com/callback")
    scheme, rest = parts[1], parts[2]
    if scheme != scheme.lower():
        raise InvalidRedirectUri("must spell its scheme in lower case")
    return scheme, rest


def _check_private_use(scheme: str, rest: str, *, application_type: ApplicationType) -> str:
    # RFC 8252 §7.1: a reversed domain name under the developer's control, so there is at least one dot.
    # This also shuts out javascript:, data:, file: and every other scheme that means something already.
    if "." not in scheme:
        raise InvalidRedirectUri(
            "must use https, or a private-use scheme with a dot (com.example.app:/callback)"
        )
    if not all(_LABEL.fullmatch(label) for label in scheme.split(".")):
        raise InvalidRedirectUri("must use a reversed domain name as its scheme (com.example.app:/callback)")
    if application_type != "native":
        raise InvalidRedirectUri("must use https; a private-use scheme is for native applications alone")
    # RFC 8252 §7.1: no naming authority stands behind the scheme, so a single slash follows it.
    parts = _PRIVATE_USE.fullmatch(rest)
    if parts is None:
        raise InvalidRedirectUri("must have exactly one slash after the scheme (com.example.app:/callback)")
    _check_path(parts[1])
    return parts[2] or ""


def _check_host(host: str) -> None:
    if host.startswith("["):
        return _check_ipv6(host[1:-1])
    if host != host.lower():
        raise InvalidRedirectUri("must spell its host in lower case")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _check_ipv4(host)
    if len(host) > MAX_HOST_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidRedirectUri("must name a valid host (an international name in its xn-- form)")
    return None


def _check_ipv4(host: str) -> None:
    try:
        ipaddress.IPv4Address(host)  # Refuses every spelling but four decimal numbers without leading zeros.
    except ValueError as fault:
        raise InvalidRedirectUri("must write an IPv4 address as four decimal numbers") from fault


def _check_ipv6(host: str) -> None:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError as fault:
        raise InvalidRedirectUri("must have a valid IPv6 address in its brackets") from fault
    if str(address) != host or address.ipv4_mapped is not None or address.scope_id is not None:
        raise InvalidRedirectUri("must write an IPv6 address in its short form, without zone or IPv4 in it")


def _check_port(port: str | None) -> None:
    if port is not None and (not _PORT.fullmatch(port) or int(port) > MAX_PORT):
        raise InvalidRedirectUri("must have a port from 1 to 65535 after the colon, or no colon")


def _check_path(path: str) -> None:
    # RFC 3986 §5.2.4: browsers and servers resolve dot segments, and each a little differently.
    if {".", ".."} & set(path.split("/")):
        raise InvalidRedirectUri("must not contain . or .. as a path segment")
    if ";" in path:
        raise InvalidRedirectUri("must not contain a semicolon in its path")
    if _ENCODED_DELIMITER.search(path):
        raise InvalidRedirectUri("must not percent-encode a dot, slash, backslash, semicolon or percent sign")


def _without_loopback_port(uri: str) -> str | None:
    parts = _LOOPBACK.fullmatch(uri)
    if parts is None or int(parts[2] or 0) > MAX_PORT:
        return None
    return parts[1] + parts[3]
