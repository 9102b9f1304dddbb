"""The OpenID Foundation's logout plans: each test has the name of a module and asserts what it asserts.

In every module somebody signs in to the examiner's client first, whose ID Token is the hint.
"""

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.support.frozen_clock import FrozenClock
from tests.support.node import (
    ISSUER,
    App,
    Node,
    Person,
    between,
    claims_of,
    header_of,
    location_parameters,
    running_node,
)
from tests.support.relying_party import LOOPBACK, RelyingParty, look, received

BYE = "https://app.example/post_logout_redirect"
FRONT = "https://app.example/frontchannel_logout"
STATE = "s 1&2=3"


@dataclass
class Examiner:
    """The suite: its client, the person at its browser, and what it was given."""

    node: Node
    app: App
    person: Person
    id_token: str = ""

    async def sign_in(self) -> None:
        self.id_token = (await self.node.tokens(self.app, self.person, scope="openid"))["id_token"]

    async def end_session(self, **parameters: str) -> httpx.Response:
        """Send the browser to the end session endpoint, and on to whatever page comes first."""
        response = await look(self.node, self.person, f"/logout?{urlencode(parameters)}")
        if response.headers.get("location", "").startswith("/"):
            response = await look(self.node, self.person, response.headers["location"])
        return response

    async def confirm(self, page: httpx.Response) -> httpx.Response:
        """Press "Sign out" on the page that asks."""
        names = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state", "csrf_token")
        form = {
            name: between(page.text, f'name="{name}" value="', '"').replace("&amp;", "&")
            for name in names
            if f'name="{name}"' in page.text
        }
        async with self.node.browser(self.person.cookies) as browser:
            response = await browser.post("/logout/confirm", data=form)
            if response.headers.get("location", "").startswith("/"):
                response = await browser.get(response.headers["location"])
        return response

    async def is_signed_in(self) -> bool:
        """Ask with prompt=none, as the suite does at the end of a module."""
        response = await self.node.authorize(self.app, self.person, scope="openid", prompt="none")
        answer = location_parameters(response)
        assert ("code" in answer) != (answer.get("error") == "login_required"), answer
        return "code" in answer


@pytest.fixture
async def node(sqlite_url: str, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Node]:
    async with running_node(sqlite_url, clock, tmp_path, outbound_networks=LOOPBACK) as running:
        yield running


@pytest.fixture
async def examiner(node: Node) -> Examiner:
    signed_in = Examiner(node, await node.app(post_logout_redirect_uris=[BYE]), await node.person())
    await signed_in.sign_in()
    return signed_in


def assert_asks_or_refuses(response: httpx.Response) -> None:
    """The suite takes a picture of an error page, or of a question; nothing is redirected."""
    assert response.status_code in {200, 400}
    assert "location" not in response.headers
    assert "http-equiv" not in response.text
    assert response.headers["content-type"].startswith("text/html")


async def assert_asks_then_signs_out_here(examiner: Examiner, page: httpx.Response) -> None:
    """No module of these may lead anywhere else; the picture shows that the person is signed out."""
    assert_asks_or_refuses(page)
    assert await examiner.is_signed_in()
    said = await examiner.confirm(page)
    assert said.status_code == 200
    assert "You are signed out" in said.text
    assert not await examiner.is_signed_in()


# RP-Initiated Logout OP.


async def test_oidcc_rp_initiated_logout_discovery_endpoint_verification(node: Node) -> None:
    metadata = (await node.http.get("/.well-known/openid-configuration")).json()
    assert metadata["end_session_endpoint"] == f"{ISSUER}/logout"


async def test_oidcc_rp_initiated_logout(examiner: Examiner) -> None:
    response = await examiner.end_session(
        id_token_hint=examiner.id_token, post_logout_redirect_uri=BYE, state=STATE
    )
    assert response.status_code == 303
    assert response.headers["location"].startswith(BYE + "?")
    assert location_parameters(response) == {"state": STATE}
    assert not await examiner.is_signed_in()


async def test_oidcc_rp_initiated_logout_by_post(examiner: Examiner) -> None:
    # RP-Initiated Logout §2 asks for both methods; a cross-site form brings no cookies (SameSite=Lax).
    form = {"id_token_hint": examiner.id_token, "post_logout_redirect_uri": BYE, "state": STATE, "x": "y"}
    response = await examiner.node.http.post("/logout", data=form)
    assert response.status_code == 303
    again = await look(examiner.node, examiner.person, response.headers["location"])
    assert location_parameters(again) == {"state": STATE}
    assert not await examiner.is_signed_in()


async def test_oidcc_rp_initiated_logout_no_state(examiner: Examiner) -> None:
    response = await examiner.end_session(id_token_hint=examiner.id_token, post_logout_redirect_uri=BYE)
    assert (response.status_code, response.headers["location"]) == (303, BYE)
    assert not await examiner.is_signed_in()


async def test_oidcc_rp_initiated_logout_no_params(examiner: Examiner) -> None:
    await assert_asks_then_signs_out_here(examiner, await examiner.end_session())


async def test_oidcc_rp_initiated_logout_only_state(examiner: Examiner) -> None:
    await assert_asks_then_signs_out_here(examiner, await examiner.end_session(state=STATE))


async def test_oidcc_rp_initiated_logout_no_post_logout_redirect_uri(examiner: Examiner) -> None:
    response = await examiner.end_session(id_token_hint=examiner.id_token, state=STATE)
    assert_asks_or_refuses(response)
    assert "You are signed out" in response.text
    assert not await examiner.is_signed_in()


async def test_oidcc_rp_initiated_logout_no_id_token_hint(examiner: Examiner) -> None:
    page = await examiner.end_session(post_logout_redirect_uri=BYE, state=STATE)
    await assert_asks_then_signs_out_here(examiner, page)


@pytest.mark.parametrize(
    "uri", ["https://evil.example/", BYE + "/", BYE.upper(), "https://app.example/", "//evil.example"]
)
async def test_oidcc_rp_initiated_logout_bad_post_logout_redirect_uri(examiner: Examiner, uri: str) -> None:
    response = await examiner.end_session(
        id_token_hint=examiner.id_token, post_logout_redirect_uri=uri, state=STATE
    )
    assert_asks_or_refuses(response)
    assert uri not in response.text


async def test_oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri(examiner: Examiner) -> None:
    response = await examiner.end_session(
        id_token_hint=examiner.id_token, post_logout_redirect_uri=f"{BYE}?extra=1", state=STATE
    )
    assert_asks_or_refuses(response)
    assert "extra=1" not in response.text


async def test_oidcc_rp_initiated_logout_modified_id_token_hint(examiner: Examiner) -> None:
    # The same claims, signed by nobody.
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    hint = f"{header}.{examiner.id_token.split('.')[1]}."
    page = await examiner.end_session(id_token_hint=hint, post_logout_redirect_uri=BYE, state=STATE)
    await assert_asks_then_signs_out_here(examiner, page)


async def test_oidcc_rp_initiated_logout_bad_id_token_hint(examiner: Examiner) -> None:
    # The same claims under the same kid, signed with a stranger's key.
    header = header_of(examiner.id_token)
    hint = jwt.encode(header, claims_of(examiner.id_token), RSAKey.generate_key(2048))
    page = await examiner.end_session(id_token_hint=hint, post_logout_redirect_uri=BYE, state=STATE)
    await assert_asks_then_signs_out_here(examiner, page)


# What a hint proves (attacks I7 and I8).


async def test_an_expired_hint_of_the_present_session_will_do(examiner: Examiner) -> None:
    # RP-Initiated Logout §2: an OP should take it while its session is the present one.
    examiner.node.clock.advance(3600)
    response = await examiner.end_session(id_token_hint=examiner.id_token, post_logout_redirect_uri=BYE)
    assert (response.status_code, response.headers["location"]) == (303, BYE)


async def test_another_persons_hint_asks_and_the_session_stays(examiner: Examiner) -> None:
    eve = Examiner(examiner.node, examiner.app, await examiner.node.person("eve@example.com"))
    await eve.sign_in()
    page = await examiner.end_session(id_token_hint=eve.id_token, post_logout_redirect_uri=BYE)
    assert_asks_or_refuses(page)
    assert await examiner.is_signed_in()
    assert await eve.is_signed_in()


async def test_a_hint_of_another_session_of_the_person_asks(examiner: Examiner) -> None:
    elsewhere = Person(account_id=examiner.person.account_id, email=examiner.person.email)
    await examiner.node.sign_in(elsewhere)
    page = await Examiner(examiner.node, examiner.app, elsewhere).end_session(
        id_token_hint=examiner.id_token, post_logout_redirect_uri=BYE
    )
    assert_asks_or_refuses(page)
    assert await examiner.is_signed_in()


async def test_a_hint_for_another_client_than_the_one_named_proves_nothing(examiner: Examiner) -> None:
    other = await examiner.node.app(client_name="Other", post_logout_redirect_uris=[BYE])
    page = await examiner.end_session(
        id_token_hint=examiner.id_token, client_id=other.id, post_logout_redirect_uri=BYE
    )
    await assert_asks_then_signs_out_here(examiner, page)


async def test_another_clients_address_is_not_gone_back_to(examiner: Examiner) -> None:
    other = await examiner.node.app(
        client_name="Other", post_logout_redirect_uris=["https://app.example/other"]
    )
    response = await examiner.end_session(
        id_token_hint=examiner.id_token, post_logout_redirect_uri="https://app.example/other"
    )
    assert_asks_or_refuses(response)
    assert other.client.metadata.post_logout_redirect_uris[0] not in response.text


async def test_an_access_token_is_no_hint(examiner: Examiner) -> None:
    tokens = await examiner.node.tokens(examiner.app, examiner.person, scope="openid")
    page = await examiner.end_session(id_token_hint=tokens["access_token"], post_logout_redirect_uri=BYE)
    await assert_asks_then_signs_out_here(examiner, page)


async def test_another_sites_image_or_form_signs_nobody_out(examiner: Examiner) -> None:
    # A browser sends them without the cookie; whoever has the cookie's browser alone cannot press the button.
    address = "/logout?" + urlencode({"id_token_hint": examiner.id_token})
    image = await examiner.node.http.get(address, headers={"Sec-Fetch-Site": "cross-site"})
    assert "set-cookie" not in image.headers
    async with examiner.node.browser(examiner.person.cookies) as browser:
        form = await browser.post(
            "/logout/confirm", data={"state": "s"}, headers={"Origin": "https://evil.example"}
        )
        guess = await browser.post("/logout/confirm", data={"csrf_token": "A" * 43})
    assert (form.status_code, guess.status_code) == (403, 403)
    assert await examiner.is_signed_in()


async def test_a_sign_out_holds_on_every_node_at_once(
    examiner: Examiner, sqlite_url: str, clock: FrozenClock, tmp_path: Path
) -> None:
    # Attack I5: another process of the same deployment, asked with the old cookie.
    before = dict(examiner.person.cookies)
    await examiner.end_session(id_token_hint=examiner.id_token)
    async with running_node(sqlite_url, clock, tmp_path) as second, second.browser(before) as browser:
        account = await browser.get("/account")
        assert (account.status_code, account.headers["location"]) == (303, "/login")
    async with examiner.node.browser(before) as browser:
        # Back shows nothing either: no page of ours may be kept.
        assert (await browser.get("/account")).headers["cache-control"] == "no-store"


# Back-Channel Logout OP.


async def test_oidcc_backchannel_logout_discovery_endpoint_verification(node: Node) -> None:
    metadata = (await node.http.get("/.well-known/openid-configuration")).json()
    assert metadata["backchannel_logout_supported"] is True
    assert metadata["backchannel_logout_session_supported"] is True


async def test_oidcc_backchannel_rp_initiated_logout(node: Node) -> None:
    relying_party = RelyingParty()
    await relying_party.start()
    app = await node.app(
        post_logout_redirect_uris=[BYE],
        backchannel_logout_uri=relying_party.address,
        backchannel_logout_session_required=True,
    )
    examiner = Examiner(node, app, await node.person())
    await examiner.sign_in()

    response = await examiner.end_session(
        id_token_hint=examiner.id_token, post_logout_redirect_uri=BYE, state=STATE
    )

    (claims,) = await received(node, relying_party, 1)
    await relying_party.kill()
    hinted = claims_of(examiner.id_token)
    assert claims["iss"] == ISSUER
    assert claims["aud"] == app.id
    assert (claims["sub"], claims["sid"]) == (hinted["sub"], hinted["sid"])
    assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert isinstance(claims["iat"], int)
    assert claims["jti"]
    assert "nonce" not in claims
    assert location_parameters(response) == {"state": STATE}
    assert not await examiner.is_signed_in()


# Front-Channel Logout OP.


async def test_oidcc_frontchannel_logout_discovery_endpoint_verification(node: Node) -> None:
    metadata = (await node.http.get("/.well-known/openid-configuration")).json()
    assert metadata["frontchannel_logout_supported"] is True
    assert metadata["frontchannel_logout_session_supported"] is True


async def test_oidcc_frontchannel_rp_initiated_logout(node: Node) -> None:
    app = await node.app(
        post_logout_redirect_uris=[BYE],
        frontchannel_logout_uri=FRONT,
        frontchannel_logout_session_required=True,
    )
    examiner = Examiner(node, app, await node.person())
    await examiner.sign_in()

    page = await examiner.end_session(
        id_token_hint=examiner.id_token, post_logout_redirect_uri=BYE, state=STATE
    )

    sid = claims_of(examiner.id_token)["sid"]
    frame = between(page.text, '<iframe hidden aria-hidden="true" title="" src="', '"')
    assert frame == f"{FRONT}?iss=https%3A%2F%2Fid.example&amp;sid={sid}"
    assert between(page.text, 'id="onward" class="button primary" href="', '"') == (
        f"{BYE}?{urlencode({'state': STATE})}"
    )
    assert not await examiner.is_signed_in()
