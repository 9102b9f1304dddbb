import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TypeAlias, TypeVar

import pytest

from idp.storage import accounts, ceremonies, email_addresses, enrolments, grants, interactions, outbox
from idp.storage.ceremonies import Ceremony
from idp.storage.database import Database, Transaction
from idp.storage.interactions import Interaction
from tests.storage import rows
from tests.storage.rows import ACCOUNT, CLIENT, LATER
from tests.support import databases
from tests.support.frozen_clock import NOON

RACERS = 16

T = TypeVar("T")
Act: TypeAlias = Callable[[Transaction], Awaitable[object]]


@pytest.fixture
async def nodes(database_url: str) -> AsyncIterator[list[Database]]:
    """One database, opened as by sixteen processes: none can queue behind another but in the database."""
    opened = [databases.open_for_test(database_url, pool_size=1, timeout_seconds=20) for _ in range(RACERS)]
    yield opened
    await asyncio.gather(*(node.close() for node in opened))


async def _connect(nodes: list[Database]) -> None:
    """Give each node its connection before the race begins."""
    await asyncio.gather(*(node.read(accounts.find, account_id=ACCOUNT) for node in nodes))


async def _race(nodes: list[Database], act: Act) -> list[object]:
    """Do the same on every node at once; answer the outcomes that say "I did it"."""
    await _connect(nodes)

    async def act_and_linger(tx: Transaction) -> object:
        outcome = await act(tx)
        # Uncommitted for a while: everyone else meets the change.
        await asyncio.sleep(0.02)
        return outcome

    outcomes = await asyncio.gather(*(node.transact(act_and_linger) for node in nodes))
    return [outcome for outcome in outcomes if outcome not in {None, False}]


async def test_a_challenge_is_used_once_whatever_races(nodes: list[Database]) -> None:
    async def arrange(tx: Transaction) -> None:
        ceremony = Ceremony(
            challenge=b"challenge",
            purpose="sign_in",
            browser_sha256=b"browser",
            account_id=None,
            enrolment_sha256=None,
            credential_ids=None,
            created_at=NOON,
            expires_at=LATER,
        )
        await ceremonies.insert(tx, ceremony)

    async def use(tx: Transaction) -> object:
        used = await ceremonies.use(
            tx, presented_challenge=b"challenge", purpose="sign_in", browser_sha256=b"browser", now=NOON
        )
        return used is not None

    await nodes[0].transact(arrange)

    assert await _race(nodes, use) == [True]


async def test_an_enrolment_is_used_once_whatever_races(nodes: list[Database]) -> None:
    async def arrange(tx: Transaction) -> None:
        await rows.insert_account(tx)
        await enrolments.insert(
            tx,
            token_sha256=b"token",
            kind="recovery",
            account_id=ACCOUNT,
            browser_sha256=None,
            expires_at=LATER,
            now=NOON,
        )

    async def use(tx: Transaction) -> object:
        return await enrolments.use(tx, token_sha256=b"token", now=NOON) is not None

    await nodes[0].transact(arrange)

    assert await _race(nodes, use) == [True]


async def test_a_request_is_answered_once_whatever_races(nodes: list[Database]) -> None:
    async def arrange(tx: Transaction) -> None:
        interaction = Interaction(
            id="request",
            browser_sha256=b"browser",
            client_id=CLIENT,
            parameters={"state": "s"},
            created_at=NOON,
            expires_at=LATER,
        )
        await interactions.insert(tx, interaction)

    async def use(tx: Transaction) -> object:
        return await interactions.use(tx, interaction_id="request", browser_sha256=b"browser", now=NOON)

    await nodes[0].transact(arrange)

    assert await _race(nodes, use) == [True]


async def test_a_mailed_link_is_used_once_whatever_races(nodes: list[Database]) -> None:
    async def arrange(tx: Transaction) -> None:
        await rows.insert_account(tx)
        await rows.insert_address(tx, address_id="address")
        await email_addresses.insert_verification(
            tx, token_sha256=b"token", email_address_id="address", expires_at=LATER, now=NOON
        )

    async def use(tx: Transaction) -> object:
        return await email_addresses.use_verification(tx, token_sha256=b"token", account_id=ACCOUNT, now=NOON)

    await nodes[0].transact(arrange)

    assert await _race(nodes, use) == ["address"]


async def test_a_code_is_redeemed_once_whatever_races(nodes: list[Database]) -> None:
    async def redeem(tx: Transaction) -> object:
        redeemed = await grants.redeem(
            tx,
            grant_id=b"grant",
            presented_sha256=b"secret",
            presenting_client=CLIENT,
            presented_challenge="challenge",
            presented_redirect_uri=None,
            presented_thumbprint=None,
            binding_thumbprint=None,
            next_idle_expiry=LATER,
            now=NOON,
        )
        return redeemed and redeemed.generation

    await nodes[0].transact(rows.insert_grant)

    assert await _race(nodes, redeem) == [1]


async def test_a_generation_advances_once_whatever_races(nodes: list[Database]) -> None:
    async def rotate(tx: Transaction) -> object:
        rotated = await grants.rotate(
            tx,
            grant_id=b"grant",
            presented_sha256=b"secret",
            presented_generation=7,
            presenting_client=CLIENT,
            presented_thumbprint=None,
            next_idle_expiry=LATER,
            now=NOON,
        )
        return rotated and rotated.generation

    await nodes[0].transact(rows.insert_grant, generation=7)

    assert await _race(nodes, rotate) == [8]


async def test_one_account_alone_comes_to_hold_an_address(nodes: list[Database]) -> None:
    async def arrange(tx: Transaction) -> None:
        for number in range(RACERS):
            await rows.insert_account(tx, account_id=str(number))
            await rows.insert_address(tx, address_id=f"address {number}", account_id=str(number))

    async def verify(tx: Transaction, *, number: int) -> bool:
        verified = await email_addresses.verify(tx, address_id=f"address {number}", now=NOON)
        await asyncio.sleep(0.02)
        return verified

    await nodes[0].transact(arrange)
    await _connect(nodes)

    outcomes = await asyncio.gather(
        *(node.transact(verify, number=number) for number, node in enumerate(nodes))
    )

    assert sorted(outcomes) == [False] * (RACERS - 1) + [True]
    assert await nodes[0].read(email_addresses.holder, normalized="ada@example.com") == str(
        outcomes.index(True)
    )


async def test_an_epoch_is_raised_once_by_all_who_saw_it(nodes: list[Database]) -> None:
    async def raise_epoch(tx: Transaction) -> object:
        return await accounts.raise_epoch(tx, account_id=ACCOUNT, seen_epoch=0, now=NOON)

    await nodes[0].transact(rows.insert_account)

    assert await _race(nodes, raise_epoch) == [True]


async def test_an_account_that_becomes_real_is_not_pruned_with_the_pending(nodes: list[Database]) -> None:
    async def become_real(tx: Transaction) -> None:
        await accounts.activate(tx, account_id=ACCOUNT, now=NOON)
        await asyncio.sleep(0.3)

    await nodes[0].transact(rows.insert_account, status="pending")

    _, pruned = await asyncio.gather(
        nodes[0].transact(become_real),
        _after(0.1, nodes[1].transact(accounts.prune_pending, before=LATER, limit=10)),
    )

    assert pruned == 0
    assert await nodes[0].read(accounts.find, account_id=ACCOUNT) is not None


async def _after(seconds: float, act: Coroutine[object, object, T]) -> T:
    await asyncio.sleep(seconds)
    return await act


async def test_no_message_is_leased_twice_nor_more_than_asked_for(nodes: list[Database]) -> None:
    async def arrange(tx: Transaction) -> None:
        for number in range(100):
            await outbox.insert(
                tx, message_id=f"{number:03}", kind="mail", recipient="a", payload_encrypted=b"", now=NOON
            )

    await nodes[0].transact(arrange)
    await _connect(nodes)

    leased = await asyncio.gather(
        *(node.transact(outbox.lease, kinds={"mail"}, until=LATER, limit=5, now=NOON) for node in nodes)
    )

    ids = [message.id for batch in leased for message in batch]
    assert max(len(batch) for batch in leased) <= 5
    assert len(ids) == len(set(ids)) == 5 * RACERS
