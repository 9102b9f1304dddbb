"""The authorization grant: one row and a counter, from the code to the last refresh token.

`issued (generation 0: the code) → redeemed (1) → rotated (2, 3, …) → revoked | expired`

The fast path is one conditional UPDATE (`storage/grants.redeem`, `storage/grants.rotate`): at most one
winner, whatever races. When no row comes back, one transaction locks the grant's row first, reads account,
client and connection in a second statement, and decides by this table. Presented generation g, row
generation G, last rotation `age` ago:

| case        | condition (MAC right, active, epochs equal, same client and proof key)   | effect                     | answer                        |
|-------------|--------------------------------------------------------------------------|----------------------------|-------------------------------|
| ROTATE      | g = G                                                                    | G + 1                      | the next token                |
| RETRY       | g = G-1 ≥ 1, age < retry window, fewer than 5 retries                    | retries + 1                | the same generation-G token   |
| LATE        | g = G-2 ≥ 1, that rotation < the window ago                              | none, audited              | invalid_grant                 |
| REUSE       | any other g < G with g ≥ 1                                               | revoked; epoch raised once | invalid_grant                 |
| CODE_REPLAY | g = 0 < G, everything else valid (client, verifier, redirect URI)        | this grant revoked         | invalid_grant                 |
| FORWARD     | g > G (commits were lost: failover, restore)                             | G := g + 1, audited        | the next token                |
| DEAD        | revoked, expired, epoch behind, account, client or consent gone          | none                       | invalid_grant                 |
| FOREIGN     | MAC wrong, other client, other key, wrong verifier                       | none                       | invalid_grant                 |

Counters decide; clocks only limit. Revocation is absorbing. Every outcome that must persist is returned.
"""  # noqa: E501 - a table reads as one

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from idp import audit
from idp.notifications import outbox
from idp.notifications.outbox import Sealer
from idp.oauth.grant_token import PresentedToken
from idp.sessions import browser_session
from idp.settings import Tokens
from idp.storage import accounts, clients, connections, email_addresses, grants
from idp.storage.database import Transaction
from idp.storage.grants import Grant, Standing

MAX_RETRIES = 5
# So many generations in a row that were each asked for twice look like someone shadowing the client.
ALARMING_RETRY_STREAK = 6


class Case(Enum):
    """The rows of the decision table."""

    ROTATE = auto()
    RETRY = auto()
    LATE = auto()
    REUSE = auto()
    CODE_REPLAY = auto()
    FORWARD = auto()
    DEAD = auto()
    FOREIGN = auto()


@dataclass(frozen=True, slots=True)
class Presenter:
    """Who presents a token: the authenticated client and the key it proved to hold, if any."""

    client_id: str
    is_public: bool
    thumbprint: str | None

    @property
    def binding(self) -> str | None:
        """What a family is bound to from its redemption on (RFC 9449 §5).

        A public client's refresh tokens belong to its key. A confidential client proves itself anyway and may
        change its key, but does not go back to proving none.
        """
        if self.thumbprint is None or self.is_public:
            return self.thumbprint
        return grants.ANY_PROOF_KEY


@dataclass(frozen=True, slots=True)
class PresentedCode:
    """A code with what it must match besides its client."""

    token: PresentedToken
    challenge: str
    redirect_uri: str | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the table decided; `grant` is there when a token may be minted for its generation."""

    case: Case
    grant: Grant | None = None


def judge_refresh(
    token: PresentedToken,
    presenter: Presenter,
    *,
    grant: Grant | None,
    standing: Standing | None,
    retry_window: timedelta,
    now: datetime,
) -> Case:
    """Find the table's row for a presented refresh token."""
    if grant is None or standing is None or token.generation < 1 or _is_foreign(token, presenter, grant):
        return Case.FOREIGN
    if _is_dead(grant, standing, now=now):
        return Case.DEAD
    return _compare_generations(token.generation, grant, retry_window=retry_window, now=now)


def judge_code(
    code: PresentedCode,
    presenter: Presenter,
    *,
    grant: Grant | None,
    standing: Standing | None,
    now: datetime,
) -> Case:
    """Find the table's row for a presented authorization code."""
    if grant is None or standing is None or code.token.generation != 0:
        return Case.FOREIGN
    if _is_foreign(code.token, presenter, grant) or code.challenge != grant.code_challenge:
        return Case.FOREIGN
    # OAuth 2.1 §4.1.3 no longer asks for it; RFC 6749 §4.1.3 clients send it, and then it must match.
    if code.redirect_uri is not None and code.redirect_uri != grant.redirect_uri:
        return Case.FOREIGN
    if _is_dead(grant, standing, now=now):
        return Case.DEAD
    if grant.generation > 0:
        return Case.CODE_REPLAY
    return Case.DEAD if grant.code_expires_at <= now else Case.ROTATE


async def settle_refresh(
    tx: Transaction,
    token: PresentedToken,
    presenter: Presenter,
    *,
    rules: Tokens,
    sealer: Sealer,
    now: datetime,
) -> Settlement:
    """Decide about a refresh token that the fast path did not rotate, and do what the table says."""
    grant = await grants.lock(tx, grant_id=token.grant_id)
    standing = await _standing(tx, grant)
    case = judge_refresh(
        token,
        presenter,
        grant=grant,
        standing=standing,
        retry_window=timedelta(seconds=rules.refresh_retry_window_seconds),
        now=now,
    )
    if grant is None:
        return Settlement(case)
    match case:
        case Case.ROTATE:
            return Settlement(case, await _advance(tx, grant, to=grant.generation + 1, rules=rules, now=now))
        case Case.RETRY:
            await _retry(tx, grant, now=now)
            return Settlement(case, grant)
        case Case.FORWARD:
            await _record(tx, "refresh_token_forward", grant, reason="database_behind", now=now)
            return Settlement(case, await _advance(tx, grant, to=token.generation + 1, rules=rules, now=now))
        case Case.LATE:
            await _record(tx, "refresh_token_late", grant, reason="late", now=now)
        case Case.REUSE:
            await _punish_reuse(tx, grant, rules=rules, sealer=sealer, now=now)
        case _:
            pass
    return Settlement(case)


async def settle_code(
    tx: Transaction, code: PresentedCode, presenter: Presenter, *, rules: Tokens, now: datetime
) -> Settlement:
    """Decide about a code that the fast path did not redeem, and do what the table says."""
    grant = await grants.lock(tx, grant_id=code.token.grant_id)
    standing = await _standing(tx, grant)
    case = judge_code(code, presenter, grant=grant, standing=standing, now=now)
    if grant is None:
        return Settlement(case)
    if case is Case.ROTATE:
        bound = replace(grant, proof_key_thumbprint=presenter.binding)
        return Settlement(case, await _advance(tx, bound, to=1, rules=rules, now=now))
    if case is Case.CODE_REPLAY:
        # Nothing wider: a reloaded callback page does this.
        await grants.revoke(tx, grant_id=grant.id, reason="code replayed", now=now)
        await _record(tx, "authorization_code_replayed", grant, reason="code_replay", now=now)
    return Settlement(case)


def idle_expiry(rules: Tokens, *, now: datetime) -> datetime:
    """Answer until when the next refresh token waits to be used."""
    return now + timedelta(seconds=rules.refresh_idle_lifetime_seconds)


def _is_foreign(token: PresentedToken, presenter: Presenter, grant: Grant) -> bool:
    return (
        token.secret_sha256 != grant.secret_sha256
        or presenter.client_id != grant.client_id
        or not _proves_its_key(presenter, grant)
    )


def _proves_its_key(presenter: Presenter, grant: Grant) -> bool:
    if grant.proof_key_thumbprint == grants.ANY_PROOF_KEY:
        return presenter.thumbprint is not None
    return grant.proof_key_thumbprint in {None, presenter.thumbprint}


def _is_dead(grant: Grant, standing: Standing, *, now: datetime) -> bool:
    return (
        grant.status != "active"
        or grant.expires_at <= now
        or grant.idle_expires_at <= now
        or standing.account_epoch != grant.account_epoch
        or standing.client_epoch != grant.client_epoch
        or standing.connection_epoch != grant.connection_epoch
    )


def _compare_generations(presented: int, grant: Grant, *, retry_window: timedelta, now: datetime) -> Case:
    if presented == grant.generation:
        return Case.ROTATE
    if presented > grant.generation:
        return Case.FORWARD
    if (
        presented == grant.generation - 1
        and _is_within(grant.rotated_at, retry_window, now=now)
        and grant.retries < MAX_RETRIES
    ):
        return Case.RETRY
    if presented == grant.generation - 2 and _is_within(grant.previously_rotated_at, retry_window, now=now):
        return Case.LATE
    return Case.REUSE


def _is_within(moment: datetime | None, window: timedelta, *, now: datetime) -> bool:
    return moment is not None and now - moment < window


async def _standing(tx: Transaction, grant: Grant | None) -> Standing | None:
    # A statement of its own, after the lock: its snapshot sees whatever the lock waited for.
    if grant is None:
        return None
    return await grants.standing(tx, account_id=grant.account_id, client_id=grant.client_id)


async def _advance(tx: Transaction, grant: Grant, *, to: int, rules: Tokens, now: datetime) -> Grant:
    return await grants.advance_to(
        tx,
        grant_id=grant.id,
        generation=to,
        binding_thumbprint=grant.proof_key_thumbprint,
        next_idle_expiry=idle_expiry(rules, now=now),
        now=now,
    )


async def _retry(tx: Transaction, grant: Grant, *, now: datetime) -> None:
    await grants.count_retry(tx, grant_id=grant.id)
    if grant.retries == 0 and grant.retry_streak + 1 >= ALARMING_RETRY_STREAK:
        await _record(tx, "refresh_token_shadowed", grant, reason="retry_streak", now=now)


async def _punish_reuse(
    tx: Transaction, grant: Grant, *, rules: Tokens, sealer: Sealer, now: datetime
) -> None:
    """RFC 9700 §4.14.2: one of two holders is not the client, and nobody can tell which."""
    await grants.revoke(tx, grant_id=grant.id, reason="refresh token reused", now=now)
    await _record(tx, "refresh_token_reused", grant, reason="reuse", now=now)
    if rules.reuse_revokes == "grant":
        return
    if rules.reuse_revokes == "client":
        await connections.raise_epoch(
            tx,
            account_id=grant.account_id,
            client_id=grant.client_id,
            seen_epoch=grant.connection_epoch,
            now=now,
        )
        return
    # Raised once, only from the epoch that this grant saw: a second replay touches nothing newer.
    if await accounts.raise_epoch(tx, account_id=grant.account_id, seen_epoch=grant.account_epoch, now=now):
        await browser_session.end_all(tx, account_id=grant.account_id, now=now)
        await _tell_the_person(tx, grant, sealer=sealer, now=now)


async def _tell_the_person(tx: Transaction, grant: Grant, *, sealer: Sealer, now: datetime) -> None:
    client = await clients.find(tx, client_id=grant.client_id)
    name = str(client.metadata.get("client_name", "")) if client else ""
    notice = {"kind": "refresh_token_reused", "client_name": name, "at": now.isoformat(timespec="seconds")}
    await accounts.leave_notice(tx, account_id=grant.account_id, notice=notice)
    for address in await email_addresses.of_account(tx, account_id=grant.account_id):
        if address.verified_at is not None:
            await outbox.enqueue_mail(
                tx,
                "reuse_detected",
                recipient=address.address,
                values={"client_name": name},
                sealer=sealer,
                now=now,
            )


async def _record(tx: Transaction, event: str, grant: Grant, *, reason: str, now: datetime) -> None:
    await audit.record(
        tx,
        event,
        outcome="failure" if reason in {"reuse", "code_replay", "late"} else "success",
        reason=reason,
        account_id=grant.account_id,
        client_id=grant.client_id,
        details={"generation": grant.generation},
        now=now,
    )
