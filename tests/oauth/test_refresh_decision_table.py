"""Every row of the table in idp/oauth/grant.py, as a client sees it."""

import asyncio

import httpx
import pytest

from idp import opaque_token
from idp.oauth import grant_token
from idp.oauth.grant_token import GrantTokenKeys
from idp.storage import accounts, audit_log, clients, connections, grants
from tests.support.node import MASTER_KEY, App, Node, Person

KEYS = GrantTokenKeys(newest=MASTER_KEY.key_id, keys={MASTER_KEY.key_id: MASTER_KEY.derive("grant tokens")})


def sealed_at(token: str, generation: int) -> str:
    """The token of another generation of the same family, as only the server can make it."""
    opened = grant_token.open_token(KEYS, token)
    assert opened is not None
    return grant_token.seal(KEYS, grant_id=opened.grant_id, generation=generation, secret=opened.secret)


def assert_refused(response: httpx.Response) -> None:
    assert response.status_code == 400
    assert response.json()["error"] == "invalid_grant"
    assert response.headers["cache-control"] == "no-store"


async def events(node: Node, name: str) -> list[str | None]:
    rows = await node.provider.database.read(audit_log.after, row_id=0, limit=1000)
    return [row.reason for row in rows if row.event == name]


async def test_the_present_token_is_rotated(node: Node, app: App, person: Person) -> None:
    first = await node.tokens(app, person)

    second = (await node.refresh(app, first["refresh_token"])).json()

    assert (await node.grant(second)).generation == 2
    assert second["refresh_token"] == sealed_at(first["refresh_token"], 2)


async def test_a_lost_answer_is_given_again_with_the_same_successor(
    node: Node, app: App, person: Person
) -> None:
    first = await node.tokens(app, person)
    second = (await node.refresh(app, first["refresh_token"])).json()
    node.clock.advance(29)

    again = await node.refresh(app, first["refresh_token"])

    assert again.status_code == 200
    assert again.json()["refresh_token"] == second["refresh_token"]
    assert again.json()["access_token"] != second["access_token"]
    assert (await node.grant(second)).generation == 2
    assert (await node.refresh(app, second["refresh_token"])).status_code == 200


async def test_a_sixth_retry_counts_as_reuse(node: Node, app: App, person: Person) -> None:
    first = await node.tokens(app, person)
    await node.refresh(app, first["refresh_token"])
    for _ in range(5):
        assert (await node.refresh(app, first["refresh_token"])).status_code == 200

    assert_refused(await node.refresh(app, first["refresh_token"]))

    assert (await node.grant(first)).status == "revoked"


async def test_a_token_one_behind_the_previous_is_late_and_revokes_nothing(
    node: Node, app: App, person: Person
) -> None:
    first = await node.tokens(app, person)
    second = (await node.refresh(app, first["refresh_token"])).json()
    third = (await node.refresh(app, second["refresh_token"])).json()

    assert_refused(await node.refresh(app, first["refresh_token"]))

    assert await events(node, "refresh_token_late") == ["late"]
    assert (await node.refresh(app, third["refresh_token"])).status_code == 200


async def test_reuse_after_the_window_ends_every_grant_and_session_of_the_person(
    node: Node, app: App, person: Person
) -> None:
    other_app = await node.app(client_name="Other App")
    other = await node.tokens(other_app, person)
    first = await node.tokens(app, person)
    second = (await node.refresh(app, first["refresh_token"])).json()
    node.clock.advance(31)

    assert_refused(await node.refresh(app, first["refresh_token"]))

    assert_refused(await node.refresh(app, second["refresh_token"]))
    assert_refused(await node.refresh(other_app, other["refresh_token"]))
    assert (await node.userinfo(second["access_token"])).status_code == 401
    assert (await node.userinfo(other["access_token"])).status_code == 401
    silent = await node.authorize(app, person, prompt="none")
    assert "error=login_required" in silent.headers["location"]
    account = await node.provider.database.read(accounts.find, account_id=person.account_id)
    assert account is not None
    assert account.notice is not None
    assert account.notice["client_name"] == "Demo App"


async def test_a_second_replay_touches_nothing_that_is_newer(node: Node, app: App, person: Person) -> None:
    first = await node.tokens(app, person)
    await node.refresh(app, first["refresh_token"])
    node.clock.advance(31)
    await node.refresh(app, first["refresh_token"])
    await node.sign_in(person)
    newer = await node.tokens(app, person)

    for _ in range(20):
        assert_refused(await node.refresh(app, first["refresh_token"]))

    assert (await node.refresh(app, newer["refresh_token"])).status_code == 200
    assert await events(node, "refresh_token_reused") == ["reuse"]


async def test_five_rotations_in_one_second_still_tell_the_first_from_the_last(
    node: Node, app: App, person: Person
) -> None:
    first = await node.tokens(app, person)
    newest = first
    for _ in range(5):
        newest = (await node.refresh(app, newest["refresh_token"])).json()

    assert_refused(await node.refresh(app, first["refresh_token"]))

    assert (await node.grant(first)).status == "revoked"


async def test_a_token_ahead_of_the_database_goes_forward(node: Node, app: App, person: Person) -> None:
    first = await node.tokens(app, person)
    ahead = sealed_at(first["refresh_token"], 7)

    response = await node.refresh(app, ahead)

    assert response.status_code == 200
    assert (await node.grant(first)).generation == 8
    assert response.json()["refresh_token"] == sealed_at(ahead, 8)
    assert await events(node, "refresh_token_forward") == ["database_behind"]


async def test_a_replayed_code_ends_its_own_grant_and_nothing_wider(
    node: Node, app: App, person: Person
) -> None:
    other_app = await node.app(client_name="Other App")
    other = await node.tokens(other_app, person)
    code = await node.code(app, person)
    first = (await node.redeem(app, code)).json()

    assert_refused(await node.redeem(app, code))

    assert_refused(await node.refresh(app, first["refresh_token"]))
    assert (await node.userinfo(first["access_token"])).status_code == 401
    assert (await node.refresh(other_app, other["refresh_token"])).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "x" * 43},
        {"code_verifier": None},
        {"code_verifier": "short"},
        {"redirect_uri": "https://app.example/other"},
    ],
)
async def test_a_code_with_a_wrong_companion_is_refused_and_stays_good(
    node: Node, app: App, person: Person, changes: dict[str, str | None]
) -> None:
    code = await node.code(app, person)

    assert_refused(await node.redeem(app, code, **changes))

    assert (await node.redeem(app, code)).status_code == 200


@pytest.mark.parametrize("first_kind", ["client_secret_basic", "none"])
@pytest.mark.parametrize("second_kind", ["client_secret_basic", "none"])
async def test_a_code_of_another_client_is_refused_and_stays_good(
    node: Node, person: Person, first_kind: str, second_kind: str
) -> None:
    first_app = await node.app(token_endpoint_auth_method=first_kind)
    second_app = await node.app(token_endpoint_auth_method=second_kind)
    code = await node.code(first_app, person)

    assert_refused(await node.redeem(second_app, code))

    assert (await node.redeem(first_app, code)).status_code == 200


async def test_a_refresh_token_of_another_client_is_refused_and_stays_good(
    node: Node, app: App, person: Person
) -> None:
    other_app = await node.app(client_name="Other App")
    first = await node.tokens(app, person)

    assert_refused(await node.refresh(other_app, first["refresh_token"]))

    assert (await node.grant(first)).generation == 1
    assert (await node.refresh(app, first["refresh_token"])).status_code == 200


async def test_a_code_waits_sixty_seconds_and_no_longer(node: Node, app: App, person: Person) -> None:
    in_time = await node.code(app, person)
    too_late = await node.code(app, person)
    node.clock.advance(59)
    assert (await node.redeem(app, in_time)).status_code == 200
    node.clock.advance(1)

    assert_refused(await node.redeem(app, too_late))


async def test_a_refresh_token_dies_of_idleness(node: Node, app: App, person: Person) -> None:
    first = await node.tokens(app, person)
    second = (await node.refresh(app, first["refresh_token"])).json()
    node.clock.advance(7 * 86_400)

    assert_refused(await node.refresh(app, second["refresh_token"]))
    assert_refused(await node.refresh(app, first["refresh_token"]))


async def test_a_family_dies_of_age_although_never_idle(node: Node, app: App, person: Person) -> None:
    newest = await node.tokens(app, person)
    for _ in range(4):
        node.clock.advance(6 * 86_400)
        newest = (await node.refresh(app, newest["refresh_token"])).json()
    node.clock.advance(6 * 86_400 + 1)

    assert_refused(await node.refresh(app, newest["refresh_token"]))


@pytest.mark.parametrize("epoch", ["account", "client", "connection"])
async def test_a_raised_epoch_ends_the_family(node: Node, app: App, person: Person, epoch: str) -> None:
    first = await node.tokens(app, person)
    database = node.provider.database
    if epoch == "account":
        await database.transact(
            accounts.raise_epoch, account_id=person.account_id, seen_epoch=0, now=node.clock()
        )
    elif epoch == "client":
        for disabled_at in (node.clock(), None):
            await database.transact(
                clients.set_disabled, client_id=app.id, disabled_at=disabled_at, now=node.clock()
            )
        node.clock.advance(2)
    else:
        await database.transact(
            connections.withdraw, account_id=person.account_id, client_id=app.id, now=node.clock()
        )

    assert_refused(await node.refresh(app, first["refresh_token"]))

    assert (await node.grant(first)).generation == 1


async def test_a_deliberate_revocation_is_not_undone_by_a_retry(node: Node, app: App, person: Person) -> None:
    first = await node.tokens(app, person)
    await node.refresh(app, first["refresh_token"])
    grant = await node.grant(first)
    await node.provider.database.transact(grants.revoke, grant_id=grant.id, reason="test", now=node.clock())

    assert_refused(await node.refresh(app, first["refresh_token"]))


async def test_no_altered_byte_of_a_refresh_token_is_accepted_or_revokes_anything(
    node: Node, app: App, person: Person
) -> None:
    first = await node.tokens(app, person)
    token = first["refresh_token"]
    raw = opaque_token.decode(token)
    assert raw is not None
    altered = [opaque_token.encode(raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1 :]) for i in range(len(raw))]
    cut = [token[:-n] for n in range(1, 9)]

    for bad in [*altered, *cut, token + "A", token + "=", token.swapcase(), " " + token, "x", "."]:
        assert_refused(await node.refresh(app, bad))

    assert (await node.refresh(app, token)).status_code == 200


async def test_a_code_is_no_refresh_token_and_a_refresh_token_no_code(
    node: Node, app: App, person: Person
) -> None:
    code = await node.code(app, person)
    first = await node.tokens(app, person)

    assert_refused(await node.refresh(app, code))
    assert_refused(await node.redeem(app, first["refresh_token"]))
    assert_refused(await node.refresh(app, first["access_token"]))
    assert_refused(await node.refresh(app, first["id_token"]))

    assert (await node.redeem(app, code)).status_code == 200
    assert (await node.refresh(app, first["refresh_token"])).status_code == 200


async def test_six_generations_asked_for_twice_in_a_row_raise_an_alarm(
    node: Node, app: App, person: Person
) -> None:
    newest = await node.tokens(app, person)
    for _ in range(7):
        previous = newest
        newest = (await node.refresh(app, previous["refresh_token"])).json()
        await node.refresh(app, previous["refresh_token"])

    assert "retry_streak" in await events(node, "refresh_token_shadowed")


@pytest.mark.parametrize("scope", ["openid", "openid email"])
async def test_a_narrower_scope_narrows_one_access_token_only(
    node: Node, app: App, person: Person, scope: str
) -> None:
    first = await node.tokens(app, person)

    narrow = (await node.refresh(app, first["refresh_token"], scope=scope)).json()
    full = (await node.refresh(app, narrow["refresh_token"])).json()

    assert narrow["scope"] == scope
    assert full["scope"] == "openid profile email offline_access"


async def test_a_wider_scope_is_refused_and_consumes_nothing(node: Node, app: App, person: Person) -> None:
    first = await node.tokens(app, person, scope="openid")

    response = await node.refresh(app, first["refresh_token"], scope="openid email")

    assert response.json()["error"] == "invalid_scope"
    assert (await node.grant(first)).generation == 1


async def test_parallel_rotations_make_one_generation_and_one_successor(
    node: Node, app: App, person: Person
) -> None:
    first = await node.tokens(app, person)

    responses = await asyncio.gather(*(node.refresh(app, first["refresh_token"]) for _ in range(64)))

    successors = {r.json()["refresh_token"] for r in responses if r.status_code == 200}
    assert len(successors) == 1
    assert {r.status_code for r in responses} <= {200, 400}
    assert (await node.grant(first)).generation == 2


async def test_parallel_redemptions_of_one_code_give_at_most_one_family(
    node: Node, app: App, person: Person
) -> None:
    code = await node.code(app, person)

    responses = await asyncio.gather(*(node.redeem(app, code) for _ in range(64)))

    assert sum(r.status_code == 200 for r in responses) == 1
