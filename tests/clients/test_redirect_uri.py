import re
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.clients.redirect_uri import ApplicationType, check_registrable, match_registered
from idp.errors import InvalidRedirectUri, VerifiedRedirectUri

URI_ALPHABET = "abcxyzABC0123456789-._~:/?#[]@!$&'()*+,;=%\\ \t\n\x00é\u3002"
HOSTS = (
    "https://app.example.com",
    "http://127.0.0.1",
    "http://[::1]",
    "http://localhost",
    "com.example.app:",
)
any_uri = st.one_of(
    st.text(max_size=60),
    st.text(alphabet=URI_ALPHABET, max_size=60),
    st.builds(str.__add__, st.sampled_from(HOSTS), st.text(alphabet=URI_ALPHABET, max_size=40)),
)
application_types: st.SearchStrategy[ApplicationType] = st.sampled_from(("web", "native"))

WEB = (
    "https://app.example.com/callback",
    "https://app.example.com",
    "https://app.example.com/",
    "https://app.example.com:8443/callback",
    "https://app.example.com/callback?tenant=1&dummy1=lorem&dummy2=ipsum",
    "https://app.example.com/callback?next=a;b",
    "https://xn--bcher-kva.example/callback",
    "https://192.0.2.7/callback",
    "https://[2001:db8::7]/callback",
    "https://a.b/caf%C3%A9",
    "http://localhost:3000/callback",
    "http://127.0.0.1/callback",
    "http://127.0.0.1:9000/callback",
    "http://[::1]:9000/callback",
)

REFUSED = (
    "",
    " ",
    "callback",
    "/callback",
    "//app.example.com/callback",
    "https:",
    "https:/app.example.com/callback",
    "https:app.example.com",
    "https://",
    "https:///callback",
    "https://:443/callback",
    "https://app.example.com:/callback",
    "https://app.example.com:0/callback",
    "https://app.example.com:0443/callback",
    "https://app.example.com:65536/callback",
    "https://app.example.com:port/callback",
    "HTTPS://app.example.com/callback",
    "https://App.example.com/callback",
    "https://app.example.com./callback",
    "https://app..example.com/callback",
    "https://-app.example.com/callback",
    "https://app_.example.com/callback",
    f"https://{'a' * 64}.example.com/callback",
    f"https://{'a.' * 130}example/callback",
    "https://app.example.com/callback#",
    "https://app.example.com/callback#x",
    "https://*.example.com/callback",
    "https://app.example.com/*",
    "https://app.example.com/callback?x=*",
    "https://user@app.example.com/callback",
    "https://user:password@app.example.com/callback",
    "https://app.example.com@evil.example/callback",
    "https://app.example.com\\@evil.example/callback",
    "https://app.example.com%40evil.example/callback",
    "https://app.example.com/call back",
    " https://app.example.com/callback",
    "https://app.example.com/callback\n",
    "https://app.example.com/callback\t",
    "https://app.example.com/callback\x00",
    "https://app.example.com/callback%0d%0aSet-Cookie:x=1",
    "https://app.example.com/callback%00",
    "https://app.example.com/callback%7F",
    "https://app.example.com/callback%",
    "https://app.example.com/callback%zz",
    'https://app.example.com/"><script>',
    "https://app.example.com/../callback",
    "https://app.example.com/a/./callback",
    "https://app.example.com/a/..",
    "https://app.example.com/..;/callback",
    "https://app.example.com/callback;x=1",
    "https://app.example.com/%2e%2e/callback",
    "https://app.example.com/%2E%2E/callback",
    "https://app.example.com/a%2fcallback",
    "https://app.example.com/a%5ccallback",
    "https://app.example.com/%252e%252e/callback",
    "https://app.example.com/a%3Bx",
    "https://app\u3002example.com/callback",
    "https://bücher.example/callback",
    "https://\uff41pp.example.com/callback",
    "https://app.example.com/\u202ecallback",
    "https://app\u200b.example.com/callback",
    "https://127.1/callback",
    "https://2130706433/callback",
    "https://0x7f000001/callback",
    "https://0x7f.0.0.1/callback",
    "https://0177.0.0.1/callback",
    "https://127.0.0.01/callback",
    "https://1.2.3.4.5/callback",
    "https://256.0.0.1/callback",
    "https://example.0x/callback",
    "http://127.1/callback",
    "http://127.0.0.2/callback",
    "http://0.0.0.0/callback",
    "http://127.0.0.1.evil.example/callback",
    "http://localhost.evil.example/callback",
    "http://[::ffff:127.0.0.1]/callback",
    "https://[::ffff:7f00:1]/callback",
    "https://[0:0:0:0:0:0:0:1]/callback",
    "https://[::1%25eth0]/callback",
    "https://[::1/callback",
    "https://[]/callback",
    "https://[::1]x/callback",
    "http://app.example.com/callback",
    "https://app.example.com/callback?code=1",
    "https://app.example.com/callback?a=1&state=2",
    "https://app.example.com/callback?%73tate=2",
    "https://app.example.com/callback?iss",
    "ftp://app.example.com/callback",
    "javascript:alert(1)",
    "javascript://app.example.com/%250aalert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "about:blank",
    "urn:ietf:wg:oauth:2.0:oob",
    "myapp:/callback",
    "myapp://callback",
    f"https://app.example.com/{'a' * 2_000}",
)

NEVER_THE_SAME = (
    ("https://c.example/cb", "https://c.example/cbx"),
    ("https://c.example/cb", "https://c.example/cb/x"),
    ("https://c.example/cb", "https://c.example/cb/"),
    ("https://c.example/cb", "https://c.example/c"),
    ("https://c.example/cb", "https://c.example"),
    ("https://c.example/cb", "https://c.example.evil/cb"),
    ("https://c.example/cb", "https://xc.example/cb"),
    ("https://c.example/cb", "https://x.c.example/cb"),
    ("https://c.example/cb", "http://c.example/cb"),
    ("https://c.example/cb", "HTTPS://c.example/cb"),
    ("https://c.example/cb", "https://C.example/cb"),
    ("https://c.example/cb", "https://c.example/CB"),
    ("https://c.example/cb", "https://c.example:443/cb"),
    ("https://c.example/cb", "https://c.example:8443/cb"),
    ("https://c.example/cb", "https://user@c.example/cb"),
    ("https://c.example/cb", "https://c.example@evil.example/cb"),
    ("https://c.example/cb", "https://c.example\\@evil.example/cb"),
    ("https://c.example/cb", "https://c.example/cb/../evil"),
    ("https://c.example/cb", "https://c.example/x/../cb"),
    ("https://c.example/cb", "https://c.example/./cb"),
    ("https://c.example/cb", "https://c.example//cb"),
    ("https://c.example/cb", "https://c.example/cb/..;/evil"),
    ("https://c.example/cb", "https://c.example/cb/%2e%2e/evil"),
    ("https://c.example/cb", "https://c.example/c%62"),
    ("https://c.example/cb", "https://c.example/cb;x"),
    ("https://c.example/cb", "https://c.example/cb#"),
    ("https://c.example/cb", "https://c.example/cb#x"),
    ("https://c.example/cb", "https://c.example/cb?"),
    ("https://c.example/cb", "https://c.example/cb?x=1"),
    ("https://c.example/cb?a=1", "https://c.example/cb"),
    ("https://c.example/cb?a=1", "https://c.example/cb?a=2"),
    ("https://c.example/cb?a=1&b=2", "https://c.example/cb?b=2&a=1"),
    ("https://c.example/cb", " https://c.example/cb"),
    ("https://c.example/cb", "https://c.example/cb "),
    ("https://c.example/cb", "https://c.example/cb\n"),
    ("https://c.example/cb", "https://c.example/cb\x00"),
    ("https://c.example/cb", "https://c.example/cb%0d%0aSet-Cookie:x=1"),
    ("https://c.example/cb", "https://c\u3002example/cb"),
    ("https://c.example/cb", "https://\uff43.example/cb"),
    ("https://c.example/cb", "https://c.example\u200b/cb"),
    ("https://c.example/cb", "https://\u0441.example/cb"),
    ("https://c.example/cb", "https://c.example/cb https://evil.example/"),
    ("https://c.example/cb", ""),
    ("http://127.0.0.1/cb", "http://localhost:51004/cb"),
    ("http://127.0.0.1/cb", "http://localhost/cb"),
    ("http://127.0.0.1/cb", "http://127.1/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.2/cb"),
    ("http://127.0.0.1/cb", "http://0x7f000001/cb"),
    ("http://127.0.0.1/cb", "http://2130706433/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1.evil/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:1@evil.example/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:@evil.example/cb"),
    ("http://127.0.0.1/cb", "http://[::ffff:127.0.0.1]/cb"),
    ("http://127.0.0.1/cb", "http://[::1]/cb"),
    ("http://127.0.0.1/cb", "https://127.0.0.1/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:0/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:080/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:65536/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:-1/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:\u0665\u0661/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cbx"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb#"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb\n"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:51004\n/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb?x=1"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:51004\\cb"),
    ("http://[::1]/cb", "http://[::1]x:80/cb"),
    ("http://[::1]/cb", "http://[0:0:0:0:0:0:0:1]:80/cb"),
    ("http://localhost:3000/cb", "http://localhost:3001/cb"),
    ("http://localhost/cb", "http://localhost:3001/cb"),
    ("https://127.0.0.1/cb", "https://127.0.0.1:8443/cb"),
    ("com.example.app:/cb", "com.example.app:/cb2"),
    ("com.example.app:/cb", "com.example.app://cb"),
)


@pytest.mark.parametrize("uri", WEB)
@pytest.mark.parametrize("application_type", ["web", "native"])
def test_a_plain_uri_can_be_registered(uri: str, application_type: ApplicationType) -> None:
    assert check_registrable(uri, application_type=application_type) == uri


@pytest.mark.parametrize("uri", REFUSED)
@pytest.mark.parametrize("application_type", ["web", "native"])
def test_a_tricky_uri_cannot_be_registered(uri: str, application_type: ApplicationType) -> None:
    with pytest.raises(InvalidRedirectUri) as refusal:
        check_registrable(uri, application_type=application_type)
    # RFC 6749 §5.2: what an error_description may be written with.
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", refusal.value.description)


@pytest.mark.parametrize("uri", ["com.example.app:/callback", "com.example.app:/", "com.example.app:/a?b=c"])
def test_a_private_use_scheme_with_a_dot_is_for_native_applications(uri: str) -> None:
    assert check_registrable(uri, application_type="native") == uri
    with pytest.raises(InvalidRedirectUri, match="native applications alone"):
        check_registrable(uri, application_type="web")


@pytest.mark.parametrize(
    "uri",
    [
        "com.example.app:callback",
        "com.example.app://callback",
        "com.example.app:",
        "com.example.app:/a/../b",
        "com.example.app:/a#",
        "com.example.app:/a?state=1",
        "com..app:/a",
        "com.example.:/a",
        "Com.example.app:/a",
    ],
)
def test_a_private_use_uri_has_one_plain_spelling_too(uri: str) -> None:
    with pytest.raises(InvalidRedirectUri):
        check_registrable(uri, application_type="native")


@pytest.mark.parametrize(("registered", "presented"), NEVER_THE_SAME)
def test_a_uri_that_differs_does_not_match(registered: str, presented: str) -> None:
    assert match_registered((registered, "https://other.example/cb"), presented) is None


@pytest.mark.parametrize("uri", [*WEB, "com.example.app:/callback"])
def test_a_registered_uri_matches_itself(uri: str) -> None:
    assert match_registered(("https://other.example/cb", uri), uri) == VerifiedRedirectUri(uri)


@pytest.mark.parametrize(
    ("registered", "presented"),
    [
        ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb"),
        ("http://127.0.0.1:9000/cb", "http://127.0.0.1:51004/cb"),
        ("http://127.0.0.1:9000/cb", "http://127.0.0.1/cb"),
        ("http://127.0.0.1/cb?a=1", "http://127.0.0.1:65535/cb?a=1"),
        ("http://127.0.0.1", "http://127.0.0.1:1"),
        ("http://[::1]/cb", "http://[::1]:51004/cb"),
    ],
)
def test_the_port_of_a_loopback_address_is_free(registered: str, presented: str) -> None:
    assert match_registered((registered,), presented) == VerifiedRedirectUri(presented)


def test_nothing_matches_a_client_without_redirect_uris() -> None:
    assert match_registered((), "https://app.example.com/callback") is None


def test_an_oversized_uri_is_not_even_compared() -> None:
    long = "http://127.0.0.1:1/" + "a" * 1_000_000
    assert match_registered(("http://127.0.0.1/" + "a" * 1_000_000, long), long) is None


def test_a_verified_uri_cannot_be_changed() -> None:
    verified = match_registered(("https://c.example/cb",), "https://c.example/cb")
    assert verified is not None
    with pytest.raises(FrozenInstanceError):
        verified.uri = "https://evil.example/cb"  # type: ignore[misc]  # the assignment is what must fail


@given(uri=any_uri, application_type=application_types)
def test_a_registrable_uri_is_answered_unchanged_and_is_plain(
    uri: str, application_type: ApplicationType
) -> None:
    try:
        answered = check_registrable(uri, application_type=application_type)
    except InvalidRedirectUri:
        return
    assert answered == uri
    assert uri.isascii()
    assert uri.isprintable()
    assert not set("#*\\ ") & set(uri)
    assert uri.startswith(("https://", "http://127.0.0.1", "http://[::1]", "http://localhost", "com.example"))
    assert match_registered((uri,), uri) == VerifiedRedirectUri(uri)


@given(registered=st.lists(any_uri, max_size=4).map(tuple), presented=any_uri)
def test_whatever_matches_differs_in_a_loopback_port_at_most(
    registered: tuple[str, ...], presented: str
) -> None:
    verified = match_registered(registered, presented)
    if verified is not None:
        assert verified.uri == presented
        assert presented in registered or _portless(presented) in {_portless(uri) for uri in registered}


@given(registered=st.sampled_from([*WEB, "com.example.app:/cb"]), data=st.data())
def test_one_spoilt_character_is_no_match(registered: str, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(registered)))
    width = data.draw(st.integers(0, 1))
    inserted = data.draw(st.text(max_size=2))
    spoilt = registered[:position] + inserted + registered[position + width :]
    if spoilt != registered and _portless(spoilt) != _portless(registered):
        assert match_registered((registered,), spoilt) is None


@given(port=st.integers(1, 65_535), other=st.integers(1, 65_535))
def test_any_port_is_free_on_a_loopback_address_and_on_nothing_else(port: int, other: int) -> None:
    for host in ("127.0.0.1", "[::1]"):
        presented = f"http://{host}:{port}/cb"
        assert match_registered((f"http://{host}:{other}/cb",), presented) == VerifiedRedirectUri(presented)
    for origin in ("http://localhost", "https://127.0.0.1", "https://app.example.com"):
        is_match = match_registered((f"{origin}:{other}/cb",), f"{origin}:{port}/cb") is not None
        assert is_match == (port == other)


def _portless(uri: str) -> str:
    """Take a loopback port away, written without the expression that is under test."""
    for start in ("http://127.0.0.1", "http://[::1]"):
        if uri.startswith(start + ":"):
            digits = uri[len(start) + 1 :].partition("/")[0].partition("?")[0]
            if digits.isascii() and digits.isdigit() and digits[0] != "0" and int(digits) < 65_536:
                return start + uri[len(start) + 1 + len(digits) :]
    return uri
