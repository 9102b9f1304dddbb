"""Valid rows to begin from; a test changes the one thing it is about."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from idp.storage import accounts, clients, connections, email_addresses, grants
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Transaction
from idp.storage.grants import Grant
from tests.support.frozen_clock import NOON

ACCOUNT = "account"
CLIENT = "client"
LATER = NOON + timedelta(minutes=5)
# Each grant has a place of its own in the status lists.
_status_indices = count()


async def insert_account(
    tx: Transaction, *, account_id: str = ACCOUNT, status: str = "active", now: datetime = NOON
) -> None:
    """Insert an account with this status, at epoch 0 (or 1, if it was ended since)."""
    await accounts.insert_pending(
        tx, account_id=account_id, user_handle=account_id.encode(), name="Ada", role=None, now=now
    )
    if status == "active":
        await accounts.activate(tx, account_id=account_id, now=now)
    elif status != "pending":
        await accounts.set_status(tx, account_id=account_id, status=status, now=now)


async def insert_client(tx: Transaction, *, client_id: str = CLIENT) -> None:
    """Insert a client at epoch 0."""
    await clients.insert(
        tx, client_id=client_id, metadata={"client_name": "App"}, is_first_party=False, now=NOON
    )


async def insert_address(
    tx: Transaction, *, address_id: str, account_id: str = ACCOUNT, normalized: str = "ada@example.com"
) -> None:
    """Insert an address that an account claims."""
    await email_addresses.insert(
        tx,
        address_id=address_id,
        account_id=account_id,
        address=normalized.title(),
        normalized=normalized,
        is_primary=True,
        now=NOON,
    )


def browser_session(**changes: Any) -> BrowserSession:  # Any: the fields are of many types.
    """Make a session of ACCOUNT that is live at NOON."""
    session = BrowserSession(
        id="session",
        cookie_sha256=b"cookie",
        account_id=ACCOUNT,
        account_epoch=0,
        credential_id=b"credential",
        auth_time=NOON,
        amr=["hwk", "user"],
        acr="phr",
        user_agent="Firefox",
        address="192.0.2.1",
        created_at=NOON,
        last_seen_at=NOON,
        expires_at=NOON + timedelta(days=7),
    )
    return replace(session, **changes)


def grant(**changes: Any) -> Grant:  # Any: the fields are of many types.
    """Make a code of ACCOUNT and CLIENT that can be redeemed at NOON."""
    code = Grant(
        id=b"grant",
        secret_sha256=b"secret",
        status="active",
        generation=0,
        client_id=CLIENT,
        account_id=ACCOUNT,
        session_id="session",
        outlives_session=True,
        account_epoch=0,
        client_epoch=0,
        connection_epoch=0,
        redirect_uri="https://app.example/callback",
        code_challenge="challenge",
        nonce="nonce",
        scope="openid offline_access",
        resources=["https://api.example"],
        claims={"userinfo": {"email": None}},
        auth_time=NOON,
        amr=["hwk", "user"],
        acr="phr",
        proof_key_thumbprint=None,
        status_index=next(_status_indices),
        created_at=NOON,
        code_expires_at=NOON + timedelta(minutes=1),
        expires_at=NOON + timedelta(days=30),
        idle_expires_at=NOON + timedelta(days=7),
    )
    return replace(code, **changes)


async def insert_grant(tx: Transaction, /, **changes: Any) -> Grant:  # Any: the fields are of many types.
    """Insert a grant with all that it stands on: account, client and connection."""
    await insert_account(tx)
    await insert_client(tx)
    await connections.allow(tx, account_id=ACCOUNT, client_id=CLIENT, scopes=["openid"], now=NOON)
    inserted = grant(**changes)
    await grants.insert(tx, inserted)
    return inserted
