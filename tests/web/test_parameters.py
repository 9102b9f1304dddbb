"""Every reader of what strangers send: it answers in its own words, or refuses, and never fails."""

import base64
import json
import math
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from idp import opaque_token
from idp.clients.redirect_uri import match_registered
from idp.errors import InvalidClient, InvalidGrant, InvalidRequest, InvalidScope
from idp.oauth import grant_token, pkce
from idp.oauth.authorization.request import redirect_target
from idp.oauth.grant_token import GrantTokenKeys
from idp.oauth.token.client_authentication import read_client
from idp.oauth.tokens import scope
from idp.web.client_response import ClientResponse
from idp.web.parameters import (
    MAX_BODY_BYTES,
    MAX_PARAMETERS,
    Parameters,
    form_parameters,
    json_object,
    parse_json_object,
    query_parameters,
)
from tests.support.answers import assert_json_error
from tests.support.node import ISSUER, Node

FORM = "application/x-www-form-urlencoded"
NOT_NUL = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
PAIRS = st.lists(st.tuples(st.text(NOT_NUL, max_size=12), st.text(NOT_NUL, max_size=30)), max_size=20)
KEYS = GrantTokenKeys(newest=b"k1", keys={b"k1": b"1" * 32, b"k0": b"0" * 32})


def request_with(
    *, query: bytes = b"", body: bytes = b"", content_type: str = FORM, chunk: int = 65_536
) -> Request:
    """A request as a server hands it over, its body in chunks."""
    chunks = [body[start : start + chunk] for start in range(0, len(body), chunk)] or [b""]
    messages = [
        {"type": "http.request", "body": part, "more_body": number + 1 < len(chunks)}
        for number, part in enumerate(chunks)
    ]

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    return Request(
        {
            "type": "http",
            "method": "POST",
            "path": "/",
            "query_string": query,
            "headers": [(b"content-type", content_type.encode("latin-1"))],
        },
        receive,
    )


# Forms and addresses.


@given(PAIRS)
async def test_a_form_reads_as_it_was_written(pairs: list[tuple[str, str]]) -> None:
    parameters = await form_parameters(request_with(body=urlencode(pairs).encode()))

    assert sorted(parameters.pairs()) == sorted((name, value) for name, value in pairs if value)
    for name, value in parameters.pairs():
        values = [text for other, text in pairs if other == name and text]
        if len(values) == 1:
            assert parameters.get(name) == value
        else:
            with pytest.raises(InvalidRequest):
                parameters.get(name)


@given(st.binary(max_size=300))
@example(b"a=%ff")
@example(b"a=%ed%a0%80")
@example(b"%00=1")
@example(b"a=\x00")
@example(b"a=%")
@example(b"a=%zz")
@example(b"&&&=&;")
@example(b"a" * 300)
async def test_any_bytes_read_the_same_in_address_and_body_or_are_refused(raw: bytes) -> None:
    try:
        expected = query_parameters(request_with(query=raw)).pairs()
    except InvalidRequest:
        with pytest.raises(InvalidRequest):
            await form_parameters(request_with(body=raw))
        return

    assert (await form_parameters(request_with(body=raw))).pairs() == expected
    assert set(expected) <= set(parse_qsl(raw.decode(), keep_blank_values=True, errors="strict"))
    for name, value in expected:
        assert "\0" not in name + value
        (name + value).encode()


@given(st.integers(min_value=1, max_value=100))
async def test_a_body_reads_the_same_in_any_chunks(chunk: int) -> None:
    body = urlencode({"code": "\u00fc" * 40, "state": "a b&c"}).encode()

    whole = await form_parameters(request_with(body=body, chunk=chunk))

    assert whole.get("code") == "\u00fc" * 40
    assert whole.get("state") == "a b&c"


async def test_a_number_of_parameters_and_bytes_is_the_most() -> None:
    many = "&".join(f"p{n}=x" for n in range(MAX_PARAMETERS)).encode()
    assert len((await form_parameters(request_with(body=many))).names()) == MAX_PARAMETERS
    for body in (many + b"&q=x", b"&" * 10_000, b"a" * 60_000 + b"=&" * 200):
        with pytest.raises(InvalidRequest) as refused:
            await form_parameters(request_with(body=body))
        assert refused.value.status == 400

    assert await form_parameters(request_with(body=b"a=" + b"x" * (MAX_BODY_BYTES - 2)))
    with pytest.raises(InvalidRequest) as too_large:
        await form_parameters(request_with(body=b"a=" + b"x" * (MAX_BODY_BYTES - 1), chunk=1000))
    assert too_large.value.status == 413


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/json",
        FORM + "x",
        "x" + FORM,
        "\u00ff",
    ],
)
async def test_a_body_of_another_kind_is_refused_unread(content_type: str) -> None:
    async def receive() -> dict[str, object]:
        raise AssertionError("the body was read")

    request = Request(
        {"type": "http", "headers": [(b"content-type", content_type.encode("latin-1"))]}, receive
    )

    with pytest.raises(InvalidRequest) as refused:
        await form_parameters(request)
    assert refused.value.status == 415


@pytest.mark.parametrize("content_type", [FORM, FORM.upper(), FORM + "; charset=utf-8", f" {FORM} ;x"])
async def test_a_forms_kind_is_read_with_its_parameters(content_type: str) -> None:
    assert (await form_parameters(request_with(body=b"a=b", content_type=content_type))).get("a") == "b"


async def test_a_body_that_ends_early_is_refused() -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "headers": [(b"content-type", FORM.encode())]}, receive)

    with pytest.raises(InvalidRequest):
        await form_parameters(request)


# JSON.

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**30), max_value=10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(NOT_NUL, max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(NOT_NUL, max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(NOT_NUL, max_size=8), JSON_VALUES, max_size=5))
def test_a_json_object_reads_as_it_was_written(value: dict[str, object]) -> None:
    assert parse_json_object(json.dumps(value).encode()) == value
    assert parse_json_object(json.dumps(value, ensure_ascii=False).encode()) == value


@given(
    st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@example(b'{"a":1e999}')
@example(b'{"a":-1e999}')
@example(b'{"a":NaN}')
@example(b'{"a":Infinity}')
@example(b'{"a":1,"a":2}')
@example(b'{"a":1,"\\u0061":2}')
@example(b'{"a":"\\ud800"}')
@example(b'{"\\ud800":1}')
@example(b'{"a":"\\u0000"}')
@example(b'{"a":' + b"9" * 5000 + b"}")
@example(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
@example(b'{"a":' * 33 + b"1" + b"}" * 33)
@example(b"\xef\xbb\xbf{}")
@example(b"\xff\xfe{\x00}\x00")
@example(b"[1]")
@example(b'"text"')
@example(b"{} {}")
@example(b"{'a':1}")
@example(b"")
def test_any_bytes_are_one_clean_json_object_or_refused(raw: bytes) -> None:
    try:
        value = parse_json_object(raw)
    except InvalidRequest:
        return

    assert isinstance(value, dict)
    # What was read can be written again as strict JSON and UTF-8: no infinity, no half a character, no NUL.
    written = json.dumps(value, allow_nan=False, ensure_ascii=False)
    assert "\\u0000" not in written
    written.encode()


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + "0" * 400 + ".0", "NaN", "Infinity", "9" * 41])
def test_a_number_that_is_none_is_refused(number: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_json_object(f'{{"a":{number}}}'.encode())


def test_ordinary_fractions_are_read() -> None:
    assert parse_json_object(b'{"a":1.5e3}') == {"a": 1500.0}
    assert math.isfinite(float(str(parse_json_object(b'{"a":1e-999}')["a"])))


@pytest.mark.parametrize(
    "content_type", ["text/plain", FORM, "", "application/json-seq", "application/jsonx"]
)
async def test_json_of_another_kind_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await json_object(request_with(body=b"{}", content_type=content_type))
    assert refused.value.status == 415


# The Authorization header of clients.


@given(st.text(max_size=60))
@example("Basic \u00e9")
@example("Basic " + base64.b64encode(b"\xff:\xff").decode())
@example("Basic " + base64.b64encode(b"%ff:x").decode())
@example("Basic =")
@example("basic  YTpi")
def test_any_authorization_header_is_a_client_or_refused(header: str) -> None:
    try:
        client = read_client(Parameters(()), authorizations=[header])
    except (InvalidClient, InvalidRequest):
        return

    assert client.method == "client_secret_basic"
    assert client.unverified_client_id
    assert client.presented_secret


@given(st.text(NOT_NUL, min_size=1, max_size=30), st.text(NOT_NUL, min_size=1, max_size=60))
@example("a:b", "c:d%25+ \u00fc")
def test_a_basic_header_reads_as_it_was_written(client_id: str, secret: str) -> None:
    # RFC 6749 §2.3.1: each half form-encoded.
    pair = f"{urlencode({'': client_id})[1:]}:{urlencode({'': secret})[1:]}"
    header = "Basic " + base64.b64encode(pair.encode()).decode()

    client = read_client(Parameters(()), authorizations=[header])

    assert (client.unverified_client_id, client.presented_secret) == (client_id, secret)


# Scope, PKCE, codes and refresh tokens.


@given(st.text(max_size=60))
@example("a  b")
@example(" a")
@example("a\n")
@example('a"b')
@example("a\\b")
def test_any_scope_is_legal_tokens_or_refused(text: str) -> None:
    try:
        tokens = scope.parse(text)
    except InvalidScope:
        return

    assert " ".join(dict.fromkeys(text.split(" "))) == " ".join(tokens)
    assert len(set(tokens)) == len(tokens)
    for token in tokens:
        assert token
        assert all(0x21 <= ord(character) <= 0x7E and character not in '"\\' for character in token)


@given(st.text(max_size=140) | st.text("abcAZ09-._~", min_size=40, max_size=130))
def test_any_verifier_is_legal_or_refused(verifier: str) -> None:
    is_legal = 43 <= len(verifier) <= 128 and all(
        character.isascii() and (character.isalnum() or character in "-._~") for character in verifier
    )
    if not is_legal:
        with pytest.raises(InvalidGrant):
            pkce.challenge_of(verifier)
        return

    challenge = pkce.challenge_of(verifier)
    assert pkce.check_challenge(challenge, "S256") == challenge


@given(
    st.text("abcAZ09-_=+/", min_size=41, max_size=46)
    | st.binary(min_size=32, max_size=32).map(opaque_token.encode)
)
def test_any_challenge_is_the_one_spelling_of_a_digest_or_refused(challenge: str) -> None:
    raw = opaque_token.decode(challenge)
    if raw is not None and len(raw) == 32:
        assert pkce.check_challenge(challenge, "S256") == challenge
    else:
        with pytest.raises(InvalidRequest):
            pkce.check_challenge(challenge, "S256")


@given(
    st.binary(min_size=16, max_size=16),
    st.integers(min_value=0, max_value=grant_token.MAX_GENERATION),
    st.binary(min_size=16, max_size=16),
)
def test_a_grant_token_reads_as_it_was_sealed(grant_id: bytes, generation: int, secret: bytes) -> None:
    token = grant_token.open_token(
        KEYS, grant_token.seal(KEYS, grant_id=grant_id, generation=generation, secret=secret)
    )

    assert token is not None
    assert (token.grant_id, token.generation, token.secret) == (grant_id, generation, secret)
    assert secret.hex() not in repr(token)


@given(st.text(max_size=90) | st.binary(min_size=55, max_size=55).map(opaque_token.encode))
def test_no_invented_grant_token_is_opened(text: str) -> None:
    assert grant_token.open_token(KEYS, text) is None


@given(st.data())
def test_no_changed_character_of_a_grant_token_is_opened(data: st.DataObject) -> None:
    token = grant_token.seal(KEYS, grant_id=b"g" * 16, generation=3, secret=b"s" * 16)
    position = data.draw(st.integers(min_value=0, max_value=len(token) - 1))
    character = data.draw(st.characters().filter(lambda drawn: drawn != token[position]))

    assert grant_token.open_token(KEYS, token[:position] + character + token[position + 1 :]) is None


# Where answers are sent.

REGISTERED = ("https://app.example/cb", "http://127.0.0.1/cb", "com.example.app:/cb")
NEAR_MISSES = st.builds(
    lambda uri, position, text, cut: uri[:position] + text + uri[position + cut :],
    st.sampled_from(REGISTERED),
    st.integers(min_value=0, max_value=24),
    st.text(max_size=4) | st.sampled_from([":51004", "@evil", ".evil", "/..", "%2e", "#", "?", "\\", "\t"]),
    st.integers(min_value=0, max_value=3),
)


@settings(max_examples=300)
@given(NEAR_MISSES | st.text(max_size=60))
def test_nothing_but_a_registered_address_is_ever_verified(presented: str) -> None:
    verified = match_registered(REGISTERED, presented)

    if verified is None:
        assert presented not in REGISTERED
        return
    assert verified.uri == presented
    if presented not in REGISTERED:
        # RFC 8252 §7.3: the port of the loopback address, and nothing else.
        before, after = "http://127.0.0.1:", "/cb"
        assert presented.startswith(before)
        assert presented.endswith(after)
        port = presented[len(before) : -len(after)]
        assert 1 <= int(port) <= 65_535
        assert str(int(port)) == port


@given(
    st.sampled_from(["https://app.example/cb", "https://app.example/cb?a=1", "com.example.app:/cb?b=%20"]),
    st.text(NOT_NUL, min_size=1, max_size=80),
    st.text(NOT_NUL, min_size=1, max_size=80),
)
@example("https://app.example/cb", "a b+c%20&d=e#f\u00fc\r\n", "x")
def test_an_answer_carries_its_values_unchanged_and_once(uri: str, state: str, code: str) -> None:
    redirect_uri = match_registered((uri,), uri)
    assert redirect_uri is not None
    target = redirect_target(Parameters([("state", state)]), redirect_uri)

    # No page is rendered for a query answer.
    response = ClientResponse(pages=None, issuer=ISSUER).to(target, {"code": code})  # type: ignore[arg-type]  # as said

    location = response.headers["location"]
    assert location.startswith(uri + ("&" if "?" in uri else "?"))
    assert location.isascii()
    assert location.isprintable()
    pairs = parse_qsl(location.partition("?")[2], keep_blank_values=True, errors="strict")
    assert pairs[-3:] == [("code", code), ("state", state), ("iss", ISSUER)]


# The same over HTTP.


async def test_no_field_of_a_token_request_can_fail_with_anything_but_400_or_401(node: Node) -> None:
    values = [
        "\u00fc",
        "\u202e",
        "'",
        '"',
        "\\",
        "\n",
        "\r\n",
        "\x7f",
        "\U0001f511",
        "x" * 5000,
        "-1",
        "1e999",
        "[]",
    ]
    fields = (
        "grant_type",
        "code",
        "code_verifier",
        "redirect_uri",
        "client_id",
        "client_secret",
        "scope",
        "resource",
    )
    for field in fields:
        for value in values:
            form = {"grant_type": "authorization_code", "client_id": "x", "client_secret": "y"} | {
                field: value
            }
            response = await node.http.post("/token", data=form)
            assert response.status_code in {400, 401}, (field, value)
            assert response.json()["error"]

    for body in (b"grant_type=%ff", b"code=%00", b"code=\x00", b"code=%ed%a0%80", b"a=%c0%80"):
        response = await node.http.post("/token", content=body, headers={"Content-Type": FORM})
        assert_json_error(response, "invalid_request")


async def test_every_description_is_written_in_the_allowed_characters(node: Node) -> None:
    for nasty in ('"', "\\", "<svg onload=x>", "\u00fc", "%22%5c"):
        for path in ("/token", "/userinfo"):
            response = await node.http.post(
                path, data={"grant_type": nasty, "client_id": nasty, "scope": nasty, "access_token": nasty}
            )
            assert response.status_code in {400, 401}
            assert nasty not in response.json()["error_description"]
            assert_json_error(response, response.json()["error"], status=response.status_code)


async def test_multipart_is_refused_before_it_is_parsed(node: Node) -> None:
    files = {"grant_type": (None, "refresh_token")}
    for path in ("/token", "/userinfo", "/authorize", "/consent", "/logout", "/logout/confirm"):
        response = await node.http.post(path, files=files)
        assert response.status_code == 415, path
