"""How clients prove who they are at the token endpoint, and what happens when they do not."""

import base64
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import quote_plus

import httpx
import pytest

from idp.clients import registration
from tests.support.answers import assert_json_error, contents
from tests.support.node import ISSUER, REDIRECT_URI, VERIFIER, App, Node, Person


@pytest.fixture
def node(sqlite_node: Node) -> Node:
    return sqlite_node


@pytest.fixture
async def code(node: Node, app: App, person: Person) -> str:
    return await node.code(app, person)


def basic(client_id: str, secret: str) -> str:
    """The header as RFC 6749 §2.3.1 spells it."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def secret_of(app: App) -> str:
    assert app.secret is not None
    return app.secret


async def redeem(
    node: Node, code: str, authorization: Sequence[str | bytes] = (), **fields: str
) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
    }
    headers = [
        (b"Authorization", value if isinstance(value, bytes) else value.encode()) for value in authorization
    ]
    return await node.http.post("/token", data=form | fields, headers=headers)


async def assert_still_good(node: Node, app: App, code: str) -> None:
    assert (await node.redeem(app, code)).status_code == 200


async def test_a_secret_in_the_basic_header_is_taken_however_the_scheme_is_written(
    node: Node, app: App, person: Person
) -> None:
    for scheme in ("Basic", "basic", "BASIC"):
        header = basic(app.id, secret_of(app)).replace("Basic", scheme)

        response = await redeem(node, await node.code(app, person), authorization=[header])

        assert response.status_code == 200


async def test_a_form_encoded_basic_header_is_decoded(node: Node, app: App, code: str) -> None:
    escaped = "".join(f"%{ord(character):02x}" for character in secret_of(app))
    pair = base64.b64encode(f"{app.id}:{escaped}".encode()).decode()

    response = await redeem(node, code, authorization=[f"Basic {pair}"])

    assert response.status_code == 200


async def test_a_client_with_a_secret_may_send_it_in_header_or_body(node: Node, person: Person) -> None:
    for method in ("client_secret_basic", "client_secret_post"):
        app = await node.app(token_endpoint_auth_method=method)
        in_header = await node.code(app, person)
        in_body = await node.code(app, person)

        first = await redeem(node, in_header, authorization=[basic(app.id, secret_of(app))])
        second = await redeem(node, in_body, client_id=app.id, client_secret=secret_of(app))

        assert (first.status_code, second.status_code) == (200, 200)


MALFORMED = [
    "",
    "Basic",
    "Basic ",
    "Basic !!!",
    "Basic \u00e9\u00e8",
    "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
    "Basic " + base64.b64encode(b"%ff:%ff").decode(),
    "Basic " + base64.b64encode(b"no-colon").decode(),
    "Basic " + base64.b64encode(b":secret").decode(),
    "Basic " + base64.b64encode(b"client:").decode(),
    "Basic " + base64.b64encode(b"a:" + b"x" * 5000).decode(),
    "Bearer abc",
    "Digest username=x",
    "Negotiate YIIB",
    "Basic\tYTpi",
]


async def test_a_malformed_authorization_header_is_refused(node: Node, app: App, code: str) -> None:
    before = await contents(node)

    for credentials in MALFORMED:
        response = await redeem(node, code, authorization=[credentials.encode("latin-1")])

        assert_json_error(response, "invalid_client", status=401)
        assert response.headers["www-authenticate"] == f'Basic realm="{ISSUER}"'
    assert await contents(node) == before
    await assert_still_good(node, app, code)


async def test_two_authorization_headers_are_refused(node: Node, app: App, code: str) -> None:
    right = basic(app.id, secret_of(app))

    for other in (right, basic("other", "secret"), "Bearer x"):
        assert_json_error(await redeem(node, code, authorization=[right, other]), "invalid_request")
        assert_json_error(await redeem(node, code, authorization=[other, right]), "invalid_request")

    await assert_still_good(node, app, code)


async def test_header_and_body_secret_together_are_refused(node: Node, app: App, code: str) -> None:
    header = basic(app.id, secret_of(app))

    response = await redeem(node, code, authorization=[header], client_secret=secret_of(app))

    assert_json_error(response, "invalid_request")
    await assert_still_good(node, app, code)


async def test_a_client_id_in_the_body_must_be_that_of_the_header(node: Node, app: App, code: str) -> None:
    other_app = await node.app()
    header = basic(app.id, secret_of(app))

    assert_json_error(
        await redeem(node, code, authorization=[header], client_id=other_app.id), "invalid_request"
    )

    assert (await redeem(node, code, authorization=[header], client_id=app.id)).status_code == 200


async def test_a_secret_client_does_not_pass_by_an_assertion_with_or_without_its_secret(
    node: Node, app: App, code: str
) -> None:
    assertion = {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "e30.e30.",
    }
    header = basic(app.id, secret_of(app))

    assert_json_error(await redeem(node, code, (header,), **assertion), "invalid_request")
    refused = await redeem(node, code, (), client_id=app.id, **assertion)
    assert_json_error(refused, "invalid_client", status=401)

    await assert_still_good(node, app, code)


async def test_a_secret_in_the_address_is_refused(node: Node, app: App, code: str) -> None:
    before = await contents(node)

    response = await node.http.post(
        "/token",
        params={"client_id": app.id, "client_secret": secret_of(app)},
        data={
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
        },
    )

    assert_json_error(response, "invalid_request")
    assert await contents(node) == before
    await assert_still_good(node, app, code)


async def test_unknown_disabled_wrong_and_missing_read_the_same(node: Node, app: App, person: Person) -> None:
    code = await node.code(app, person)
    disabled = await node.app()
    await node.provider.database.transact(registration.disable, client_id=disabled.id, now=node.clock())
    public = await node.app(token_endpoint_auth_method="none")
    wrong = secret_of(app)[:-1] + ("A" if secret_of(app)[-1] != "A" else "B")

    answers = [
        await redeem(node, code, client_id="nobody-here", client_secret="x"),
        await redeem(node, code, client_id="nobody-here"),
        await redeem(node, code, client_id=disabled.id, client_secret=secret_of(disabled)),
        await redeem(node, code, client_id=app.id, client_secret=wrong),
        await redeem(node, code, client_id=app.id, client_secret=secret_of(app) + "A"),
        await redeem(node, code, client_id=app.id, client_secret=secret_of(app)[:-1]),
        await redeem(node, code, client_id=app.id, client_secret="\u00fc" * 20),
        await redeem(node, code, client_id=app.id, client_secret="x" * 5000),
        await redeem(node, code, client_id=app.id),
        await redeem(node, code, client_id=public.id, client_secret="x"),
        await redeem(node, code, client_id="\u00fc\r\n"),
        await redeem(node, code, client_id="x" * 10_000),
        await redeem(node, code),
    ]

    for answer in answers:
        assert_json_error(answer, "invalid_client", status=401)
        assert answer.json() == answers[0].json()
        assert "www-authenticate" not in answer.headers
    await assert_still_good(node, app, code)


async def test_a_confidential_client_never_passes_as_public(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": app.id}

    assert_json_error(await node.http.post("/token", data=form), "invalid_client", status=401)

    assert (await node.grant(tokens)).generation == 1
    assert (await node.refresh(app, tokens["refresh_token"])).status_code == 200


async def test_a_repeated_parameter_is_refused(node: Node, app: App, code: str) -> None:
    pairs = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
        ("client_id", app.id),
        ("client_secret", secret_of(app)),
    ]
    for repeated in pairs:
        body = str(httpx.QueryParams([*pairs, repeated]))

        response = await node.http.post(
            "/token", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )

        assert_json_error(response, "invalid_request")
    await assert_still_good(node, app, code)


async def test_a_disabled_client_is_refused_within_a_second(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)
    await node.provider.database.transact(registration.disable, client_id=app.id, now=node.clock())
    node.clock.advance(1)

    response = await node.refresh(app, tokens["refresh_token"])

    assert_json_error(response, "invalid_client", status=401)
    assert (await node.grant(tokens)).generation == 1
    assert (await node.userinfo(tokens["access_token"])).status_code == 401


async def test_a_rotated_secret_is_dead_at_once_or_after_the_overlap(node: Node, person: Person) -> None:
    for overlap_seconds in (0, 60):
        app = await node.app()
        tokens = await node.tokens(app, person)
        new_secret = await node.provider.database.transact(
            registration.rotate_secret,
            client_id=app.id,
            overlap=timedelta(seconds=overlap_seconds),
            now=node.clock(),
        )
        node.clock.advance(overlap_seconds + 1)

        old = await node.refresh(app, tokens["refresh_token"])
        new = await node.refresh(App(app.client, new_secret), tokens["refresh_token"])

        assert_json_error(old, "invalid_client", status=401)
        assert new.status_code == 200


async def test_both_secrets_work_during_the_overlap(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)
    await node.provider.database.transact(
        registration.rotate_secret, client_id=app.id, overlap=timedelta(seconds=60), now=node.clock()
    )
    node.clock.advance(59)

    assert (await node.refresh(app, tokens["refresh_token"])).status_code == 200
