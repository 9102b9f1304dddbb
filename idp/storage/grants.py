"""Authorization grants: one row from the code to the last refresh token (idp/oauth/grant.py tells how)."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage.database import Transaction
from idp.storage.prepared import Lane, Prepared, first_row
from idp.storage.tables import accounts, browser_sessions, clients, connections, grant_status_index, grants


@dataclass(frozen=True, slots=True)
class Grant:
    """One row of `grants`, as it was read or as it became."""

    id: bytes
    secret_sha256: bytes
    status: str
    generation: int
    client_id: str
    account_id: str
    session_id: str
    outlives_session: bool
    account_epoch: int
    client_epoch: int
    connection_epoch: int
    redirect_uri: str
    code_challenge: str
    nonce: str | None
    scope: str
    resources: list[str]
    claims: dict[str, object] | None
    auth_time: datetime
    amr: list[str]
    acr: str
    proof_key_thumbprint: str | None
    status_index: int
    created_at: datetime
    code_expires_at: datetime
    expires_at: datetime
    idle_expires_at: datetime
    rotated_at: datetime | None = None
    previously_rotated_at: datetime | None = None
    retries: int = 0
    retry_streak: int = 0
    revoked_at: datetime | None = None
    revoked_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the grant's epochs are measured against; None where one of the three is gone or off."""

    account_epoch: int | None
    client_epoch: int | None
    connection_epoch: int | None


ANY_PROOF_KEY = "any"
"""In `proof_key_thumbprint`: some key must be proved (RFC 9449 §5: a confidential client may change it)."""

_NAMES = tuple(field.name for field in fields(Grant))
_COLUMNS = tuple(grants.c[name] for name in _NAMES)

# Built once: spelling a statement of 31 columns anew costs more than running it.
_insert = sa.insert(grants)
_hold_session = (
    sa.select(browser_sessions.c.id)
    .where(browser_sessions.c.id == sa.bindparam("session_id", type_=sa.Text))
    .where(browser_sessions.c.ended_at.is_(None))
    .with_for_update(read=True, key_share=False)
)

_account_epoch = (
    sa.select(accounts.c.token_epoch)
    .where(accounts.c.id == grants.c.account_id, accounts.c.status == "active")
    .correlate(grants)
    .scalar_subquery()
)
_client_epoch = (
    sa.select(clients.c.token_epoch)
    .where(clients.c.id == grants.c.client_id, clients.c.disabled_at.is_(None))
    .correlate(grants)
    .scalar_subquery()
)
_connection_epoch = (
    sa.select(connections.c.token_epoch)
    .where(
        connections.c.account_id == grants.c.account_id,
        connections.c.client_id == grants.c.client_id,
        connections.c.withdrawn_at.is_(None),
    )
    .correlate(grants)
    .scalar_subquery()
)

_IS_ALIVE = (
    grants.c.status == "active",
    grants.c.expires_at > sa.bindparam("now", type_=grants.c.expires_at.type),
    grants.c.idle_expires_at > sa.bindparam("now", type_=grants.c.expires_at.type),
    grants.c.account_epoch == _account_epoch,
    grants.c.client_epoch == _client_epoch,
    grants.c.connection_epoch == _connection_epoch,
)
_IS_PRESENTED = (
    grants.c.id == sa.bindparam("grant_id", type_=sa.LargeBinary),
    grants.c.secret_sha256 == sa.bindparam("presented_sha256", type_=sa.LargeBinary),
    grants.c.generation == sa.bindparam("presented_generation", type_=sa.Integer),
    grants.c.client_id == sa.bindparam("presenting_client", type_=sa.Text),
    sa.or_(
        grants.c.proof_key_thumbprint.is_(None),
        grants.c.proof_key_thumbprint == sa.bindparam("presented_thumbprint", type_=sa.Text),
        sa.and_(
            grants.c.proof_key_thumbprint == ANY_PROOF_KEY,
            sa.bindparam("presented_thumbprint", type_=sa.Text).is_not(None),
        ),
    ),
)
_NEXT_GENERATION = {
    "generation": grants.c.generation + 1,
    "previously_rotated_at": grants.c.rotated_at,
    "rotated_at": sa.bindparam("now", type_=grants.c.expires_at.type),
    "idle_expires_at": sa.bindparam("next_idle_expiry", type_=grants.c.expires_at.type),
    "retry_streak": sa.case((grants.c.retries > 0, grants.c.retry_streak + 1), else_=0),
    "retries": 0,
}

_rotate = Prepared(
    sa.update(grants)
    .where(*_IS_PRESENTED, grants.c.generation >= 1, *_IS_ALIVE)
    .values(_NEXT_GENERATION)
    .returning(*_COLUMNS)
)
_redeem = Prepared(
    sa.update(grants)
    .where(
        *_IS_PRESENTED,
        grants.c.generation == 0,
        grants.c.code_expires_at > sa.bindparam("now", type_=grants.c.expires_at.type),
        grants.c.code_challenge == sa.bindparam("presented_challenge", type_=sa.Text),
        sa.or_(
            sa.bindparam("presented_redirect_uri", type_=sa.Text).is_(None),
            grants.c.redirect_uri == sa.bindparam("presented_redirect_uri", type_=sa.Text),
        ),
        *_IS_ALIVE,
    )
    # What is proved at redemption binds the family from then on (RFC 9449 §5).
    .values(_NEXT_GENERATION | {"proof_key_thumbprint": sa.bindparam("binding_thumbprint", type_=sa.Text)})
    .returning(*_COLUMNS)
)
_find_alive = Prepared(
    sa.select(*_COLUMNS).where(
        grants.c.id == sa.bindparam("grant_id", type_=sa.LargeBinary),
        grants.c.status == "active",
        grants.c.expires_at > sa.bindparam("now", type_=grants.c.expires_at.type),
        grants.c.account_epoch == _account_epoch,
        grants.c.client_epoch == _client_epoch,
        grants.c.connection_epoch == _connection_epoch,
    )
)


async def next_status_index(tx: Transaction) -> int:
    """Draw the place that a new grant's tokens have in the status lists."""
    if tx.dialect.name == "postgresql":
        drawn = await tx.execute(sa.select(grant_status_index.next_value()))
    else:
        drawn = await tx.execute(sa.select(sa.func.coalesce(sa.func.max(grants.c.status_index) + 1, 0)))
    index: int = drawn.scalar_one()
    return index


async def insert(tx: Transaction, grant: Grant) -> None:
    """Remember a new grant, at generation 0."""
    await tx.execute(_insert, {name: getattr(grant, name) for name in _NAMES})


async def redeem(
    lane: Lane,
    *,
    grant_id: bytes,
    presented_sha256: bytes,
    presenting_client: str,
    presented_challenge: str,
    presented_redirect_uri: str | None,
    presented_thumbprint: str | None,
    binding_thumbprint: str | None,
    next_idle_expiry: datetime,
    now: datetime,
) -> Grant | None:
    """Turn an unused code into generation 1; None when any condition fails. At most one caller wins."""
    row = await first_row(
        lane,
        _redeem,
        {
            "grant_id": grant_id,
            "presented_sha256": presented_sha256,
            "presented_generation": 0,
            "presenting_client": presenting_client,
            "presented_challenge": presented_challenge,
            "presented_redirect_uri": presented_redirect_uri,
            "presented_thumbprint": presented_thumbprint,
            "binding_thumbprint": binding_thumbprint,
            "next_idle_expiry": next_idle_expiry,
            "now": now,
        },
    )
    return Grant(*row) if row else None


async def rotate(
    lane: Lane,
    *,
    grant_id: bytes,
    presented_sha256: bytes,
    presented_generation: int,
    presenting_client: str,
    presented_thumbprint: str | None,
    next_idle_expiry: datetime,
    now: datetime,
) -> Grant | None:
    """Advance a live family by one generation; None when any condition fails. At most one caller wins."""
    row = await first_row(
        lane,
        _rotate,
        {
            "grant_id": grant_id,
            "presented_sha256": presented_sha256,
            "presented_generation": presented_generation,
            "presenting_client": presenting_client,
            "presented_thumbprint": presented_thumbprint,
            "next_idle_expiry": next_idle_expiry,
            "now": now,
        },
    )
    return Grant(*row) if row else None


async def lock(tx: Transaction, *, grant_id: bytes) -> Grant | None:
    """Read a grant and keep everyone else from changing it until the transaction ends."""
    # key_share=True is FOR NO KEY UPDATE; SQLite's BEGIN IMMEDIATE already holds the only write lock.
    result = await tx.execute(
        sa.select(*_COLUMNS).where(grants.c.id == grant_id).with_for_update(key_share=True)
    )
    row = result.one_or_none()
    return Grant(*row) if row else None


async def find(tx: Transaction, *, grant_id: bytes) -> Grant | None:
    """Read a grant, whatever became of it."""
    result = await tx.execute(sa.select(*_COLUMNS).where(grants.c.id == grant_id))
    row = result.one_or_none()
    return Grant(*row) if row else None


async def standing(tx: Transaction, *, account_id: str, client_id: str) -> Standing:
    """Read the epochs that a grant is measured against, in a statement (and so a snapshot) of its own."""
    account = sa.select(accounts.c.token_epoch).where(
        accounts.c.id == account_id, accounts.c.status == "active"
    )
    client = sa.select(clients.c.token_epoch).where(
        clients.c.id == client_id, clients.c.disabled_at.is_(None)
    )
    connection = sa.select(connections.c.token_epoch).where(
        connections.c.account_id == account_id,
        connections.c.client_id == client_id,
        connections.c.withdrawn_at.is_(None),
    )
    result = await tx.execute(
        sa.select(account.scalar_subquery(), client.scalar_subquery(), connection.scalar_subquery())
    )
    return Standing(*result.one())


async def count_retry(tx: Transaction, *, grant_id: bytes) -> None:
    """Remember that the newest generation was answered once more."""
    await tx.execute(sa.update(grants).where(grants.c.id == grant_id).values(retries=grants.c.retries + 1))


async def advance_to(
    tx: Transaction,
    *,
    grant_id: bytes,
    generation: int,
    binding_thumbprint: str | None,
    next_idle_expiry: datetime,
    now: datetime,
) -> Grant:
    """Set the generation of a locked grant forward; the database itself refuses to set it back."""
    result = await tx.execute(
        sa.update(grants)
        .where(grants.c.id == grant_id)
        .values(
            _NEXT_GENERATION
            | {
                "generation": generation,
                "rotated_at": now,
                "idle_expires_at": next_idle_expiry,
                "proof_key_thumbprint": binding_thumbprint,
            }
        )
        .returning(*_COLUMNS)
    )
    return Grant(*result.one())


async def revoke(tx: Transaction, *, grant_id: bytes, reason: str, now: datetime) -> bool:
    """End one grant for good; False when it already was."""
    result = await tx.execute(
        sa.update(grants)
        .where(grants.c.id == grant_id, grants.c.status == "active")
        .values(status="revoked", revoked_at=now, revoked_reason=reason)
    )
    return result.rowcount == 1


async def revoke_of_session(tx: Transaction, *, session_id: str, now: datetime) -> int:
    """End the grants that live only as long as their browser session; answer how many."""
    result = await tx.execute(
        sa.update(grants)
        .where(
            grants.c.session_id == session_id,
            grants.c.outlives_session.is_(False),
            grants.c.status == "active",
        )
        .values(status="revoked", revoked_at=now, revoked_reason="session ended")
    )
    return result.rowcount


async def find_alive(lane: Lane, *, grant_id: bytes, now: datetime) -> Grant | None:
    """Read a grant whose access tokens still count: active, unexpired, no epoch behind."""
    row = await first_row(lane, _find_alive, {"grant_id": grant_id, "now": now})
    return Grant(*row) if row else None


async def clients_of_session(tx: Transaction, *, session_id: str) -> list[str]:
    """Name the clients that were given a grant from this browser session."""
    result = await tx.execute(
        sa.select(grants.c.client_id)
        .where(grants.c.session_id == session_id)
        .distinct()
        .order_by(grants.c.client_id)
    )
    return list(result.scalars())


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete grants that expired before `before`, at most `limit`; answer how many went."""
    doomed = sa.select(grants.c.id).where(grants.c.expires_at < before).limit(limit)
    result = await tx.execute(sa.delete(grants).where(grants.c.id.in_(doomed)))
    return result.rowcount


async def hold_session(tx: Transaction, *, session_id: str) -> bool:
    """Keep a browser session from ending until the transaction ends; False when it has ended.

    A grant is made under this lock, so a sign-out sees it or prevents it.
    """
    result = await tx.execute(_hold_session, {"session_id": session_id})
    return result.one_or_none() is not None
