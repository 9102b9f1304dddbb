"""Registering clients and changing what is registered: use cases, each with its mark in the audit log."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from idp import audit, opaque_token
from idp.clients.client import Client, LiveSecret
from idp.clients.metadata import ClientMetadata, restore_metadata
from idp.errors import InvalidClientMetadata
from idp.storage import clients
from idp.storage.clients import ClientRow
from idp.storage.database import Transaction

# Unreserved characters alone, so that a form-urldecoded identifier is the identifier (RFC 6749 §2.3.1). The
# first is neither - (a command would take it for an option) nor . (a dot segment in an address).
_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~\-]{0,63}")
_FIRST_EPOCH_FROM = datetime(2025, 1, 1, tzinfo=UTC)


class RegistrationError(Exception):
    """The change was refused and nothing happened; the message says why."""


class UnknownClientError(RegistrationError):
    """There is no such client."""


class ClientIdTakenError(RegistrationError):
    """Another client has this identifier."""


class ClientChangedError(RegistrationError):
    """Someone changed the client since it was read."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A client as it now is and, this once, the secret that it was just given."""

    client: Client
    client_secret: str | None = field(repr=False)


async def register(
    tx: Transaction,
    *,
    metadata: ClientMetadata,
    is_first_party: bool,
    now: datetime,
    client_id: str | None = None,
    actor: str | None = None,
) -> Registered:
    """Register a client, by a new identifier unless one is chosen; raises ClientIdTakenError."""
    chosen = opaque_token.new_identifier() if client_id is None else client_id
    if not _CLIENT_ID.fullmatch(chosen):
        raise InvalidClientMetadata(
            "client_id must be 1 to 64 letters, digits or - . _ ~ and begin with a letter or digit"
        )
    is_new = await clients.insert(
        tx,
        client_id=chosen,
        metadata=metadata.to_dict(),
        is_first_party=is_first_party,
        token_epoch=_first_epoch(now),
        now=now,
    )
    if not is_new:
        raise ClientIdTakenError("another client has this client_id")
    client_secret = await _add_secret(tx, client_id=chosen, now=now) if metadata.has_secret else None
    await audit.record(tx, "client_registered", now=now, actor=actor, client_id=chosen)
    return Registered(await _present(tx, client_id=chosen), client_secret)


async def update(
    tx: Transaction,
    *,
    client_id: str,
    metadata: ClientMetadata,
    is_first_party: bool,
    seen_version: int,
    now: datetime,
    actor: str | None = None,
) -> Registered:
    """Replace what is registered; raises ClientChangedError when `seen_version` is not the present one.

    A client that becomes confidential gets a secret; one that becomes public loses its secrets.
    """
    before = await _present(tx, client_id=client_id)
    is_changed = await clients.update(
        tx,
        client_id=client_id,
        metadata=metadata.to_dict(),
        is_first_party=is_first_party,
        seen_version=seen_version,
        now=now,
    )
    if not is_changed:
        raise ClientChangedError("the client was changed meanwhile; read it again")
    client_secret = None
    if not metadata.has_secret:
        await clients.delete_secrets(tx, client_id=client_id)
    elif not before.metadata.has_secret:
        client_secret = await _add_secret(tx, client_id=client_id, now=now)
    details: dict[str, object] = {"changed": _changed_fields(before, metadata, is_first_party=is_first_party)}
    await audit.record(tx, "client_updated", now=now, actor=actor, client_id=client_id, details=details)
    return Registered(await _present(tx, client_id=client_id), client_secret)


async def disable(tx: Transaction, *, client_id: str, now: datetime, actor: str | None = None) -> Client:
    """Switch a client off and end all that it was given; nothing changes when it is off already."""
    if await clients.set_disabled(tx, client_id=client_id, disabled_at=now, now=now):
        await audit.record(tx, "client_disabled", now=now, actor=actor, client_id=client_id)
    return await _present(tx, client_id=client_id)


async def enable(tx: Transaction, *, client_id: str, now: datetime, actor: str | None = None) -> Client:
    """Switch a client on again; what it had before stays ended, and one that is on is left alone."""
    if await clients.set_disabled(tx, client_id=client_id, disabled_at=None, now=now):
        await audit.record(tx, "client_enabled", now=now, actor=actor, client_id=client_id)
    return await _present(tx, client_id=client_id)


async def delete(tx: Transaction, *, client_id: str, now: datetime, actor: str | None = None) -> None:
    """Forget a client, its secrets and what people allowed it; its grants are dead from then on."""
    if not await clients.delete(tx, client_id=client_id, now=now):
        raise UnknownClientError("there is no such client")
    await audit.record(tx, "client_deleted", now=now, actor=actor, client_id=client_id)


async def rotate_secret(
    tx: Transaction, *, client_id: str, overlap: timedelta, now: datetime, actor: str | None = None
) -> str:
    """Give a confidential client a new secret; the one before works on for `overlap`, older ones end."""
    # The client's row is held from here on, so that rotations at the same time come one after the other.
    if not await clients.raise_version(tx, client_id=client_id, now=now):
        raise UnknownClientError("there is no such client")
    client = await _present(tx, client_id=client_id)
    if not client.metadata.has_secret:
        raise InvalidClientMetadata("the client has no secret: it is public, or proves itself by a key")
    # Of all secrets one alone has no end yet: the newest.
    await clients.delete_ending_secrets(tx, client_id=client_id)
    if overlap > timedelta(0):
        await clients.expire_secrets(tx, client_id=client_id, expires_at=now + overlap)
    else:
        await clients.delete_secrets(tx, client_id=client_id)
    client_secret = await _add_secret(tx, client_id=client_id, now=now)
    details: dict[str, object] = {"overlap_seconds": max(0, int(overlap.total_seconds()))}
    await audit.record(
        tx, "client_secret_rotated", now=now, actor=actor, client_id=client_id, details=details
    )
    return client_secret


async def show(tx: Transaction, *, client_id: str) -> Client | None:
    """Answer a client, disabled or not."""
    row = await clients.find(tx, client_id=client_id)
    if row is None:
        return None
    return (await _with_secrets(tx, [row]))[0]


async def list_clients(tx: Transaction, *, after: str = "", limit: int = 100) -> list[Client]:
    """List clients by id, `limit` of them behind `after`."""
    return await _with_secrets(tx, await clients.listed(tx, after=after, limit=limit))


async def _present(tx: Transaction, *, client_id: str) -> Client:
    client = await show(tx, client_id=client_id)
    if client is None:
        raise UnknownClientError("there is no such client")
    return client


async def _add_secret(tx: Transaction, *, client_id: str, now: datetime) -> str:
    client_secret = opaque_token.new_token()
    await clients.insert_secret(
        tx,
        secret_sha256=opaque_token.sha256(client_secret),
        client_id=client_id,
        expires_at=None,
        now=now,
    )
    return client_secret


async def _with_secrets(tx: Transaction, rows: Sequence[ClientRow]) -> list[Client]:
    secrets = await clients.secrets_of_clients(tx, client_ids=[row.id for row in rows])
    return [
        Client(
            id=row.id,
            metadata=restore_metadata(row.metadata),
            is_first_party=row.is_first_party,
            token_epoch=row.token_epoch,
            version=row.version,
            is_disabled=row.disabled_at is not None,
            secrets=tuple(
                LiveSecret(secret.secret_sha256, secret.expires_at)
                for secret in secrets
                if secret.client_id == row.id
            ),
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
        for row in rows
    ]


def _first_epoch(now: datetime) -> int:
    # A client registered again under the identifier of a deleted one begins beyond every epoch that the old
    # one had, so that no grant of the old one comes back to life.
    return int((now - _FIRST_EPOCH_FROM).total_seconds())


def _changed_fields(before: Client, metadata: ClientMetadata, *, is_first_party: bool) -> list[str]:
    old, new = before.metadata.to_dict(), metadata.to_dict()
    changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return changed + (["is_first_party"] if before.is_first_party != is_first_party else [])
