"""How signing keys come and go. Any number of nodes may try at once: the first decides, the others see it.

Making an RSA key is slow, so it is made before the transaction and thrown away when another node was first.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from idp.keys.encryption import encrypt
from idp.keys.keyring import ALGORITHM, Keyring, private_key_context
from idp.keys.master_key import MasterKey
from idp.keys.public_jwk import public_jwk, thumbprint
from idp.keys.timetable import Timetable, is_withdrawn, state_of
from idp.storage import signing_keys
from idp.storage.database import Database, Transaction
from idp.storage.signing_keys import SigningKeyRow

REMEMBERED = timedelta(days=90)
"""How long a key that has left the JWKS still proves an old ID Token as a hint."""


@dataclass(frozen=True, slots=True)
class FreshKey:
    """A key pair that was just made and has no place in the timetable yet."""

    kid: str
    public_jwk: dict[str, str]
    private_key_encrypted: bytes = field(repr=False)


def generate_key(*, rsa_bits: int, master_key: MasterKey) -> FreshKey:
    """Make a key pair and encrypt its private half; slow (up to a second), so never in the event loop."""
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)
    private_der = private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    jwk = public_jwk(private_key.public_key())
    kid = thumbprint(jwk)
    sealed = encrypt(master_key, private_der, context=private_key_context(kid))
    return FreshKey(kid=kid, public_jwk=jwk, private_key_encrypted=sealed)


async def keep_keys(
    database: Database, *, keyring: Keyring, timetable: Timetable, rsa_bits: int, now: datetime
) -> SigningKeyRow | None:
    """Make the first key, or the next one when it is due; answer it. Leaves the keyring reloaded.

    Call it at boot and every few minutes. Raises KeyringError, before anything is written, when the master
    key is not the one that the stored keys were encrypted with.
    """
    await keyring.reload(now=now)
    if timetable.due_activation(keyring.rows, now=now) is None:
        return None
    fresh = await asyncio.to_thread(generate_key, rsa_bits=rsa_bits, master_key=keyring.master_key)
    made = await database.transact(ensure_keys, fresh=fresh, timetable=timetable, now=now)
    await keyring.reload(now=now)
    return made


async def ensure_keys(
    tx: Transaction, *, fresh: FreshKey, timetable: Timetable, now: datetime
) -> SigningKeyRow | None:
    """Give `fresh` its place if a key is due; None when none is (any more)."""
    await signing_keys.lock(tx)
    rows = await signing_keys.listed(tx)
    activates_at = timetable.due_activation(rows, now=now)
    if activates_at is None:
        return None
    return await _insert(tx, fresh=fresh, rows=rows, activates_at=activates_at, timetable=timetable, now=now)


async def rotate_now(
    tx: Transaction, *, fresh: FreshKey, timetable: Timetable, now: datetime
) -> SigningKeyRow:
    """Plan the next key for as soon as every cached JWKS has it; answer it, or the one already planned."""
    await signing_keys.lock(tx)
    rows = await signing_keys.listed(tx)
    planned = [row for row in rows if state_of(row, now=now) == "next"]
    if planned:
        return planned[-1]
    is_first = not any(state_of(row, now=now) == "active" for row in rows)
    activates_at = now if is_first else now + timetable.publish_lead
    return await _insert(tx, fresh=fresh, rows=rows, activates_at=activates_at, timetable=timetable, now=now)


async def retire_now(tx: Transaction, kid: str, *, fresh: FreshKey, now: datetime) -> SigningKeyRow | None:
    """Withdraw a key in an emergency: at once nothing it signed is valid; answer the key that signs now.

    The next key takes over at once, or `fresh` if none is planned. None, and nothing changed, when the key is
    unknown or was withdrawn before.
    """
    await signing_keys.lock(tx)
    rows = await signing_keys.listed(tx)
    doomed = next((row for row in rows if row.kid == kid), None)
    if doomed is None or is_withdrawn(doomed):
        return None
    await signing_keys.withdraw(tx, kid=kid, at=now)
    others = [row for row in rows if row.kid != kid]
    active = [row for row in others if state_of(row, now=now) == "active"]
    if active:
        # When it was the planned successor that went, the present key must go on until there is another.
        if state_of(doomed, now=now) == "next":
            await signing_keys.postpone_retirement(tx, kid=active[-1].kid)
    else:
        await _succeed_at_once(tx, rows=others, fresh=fresh, newest=rows[-1], now=now)
    signing = [row for row in await signing_keys.listed(tx) if state_of(row, now=now) == "active"]
    return signing[-1]


async def forget_gone(tx: Transaction, *, now: datetime) -> int:
    """Delete keys that left the JWKS long ago; answer how many."""
    rows = await signing_keys.listed(tx)
    # The newest row stays whatever it is: its sequence is where the next key goes on.
    old = [row for row in rows[:-1] if row.gone_at is not None and row.gone_at + REMEMBERED <= now]
    return sum([await signing_keys.delete(tx, kid=row.kid) for row in old])


async def _succeed_at_once(
    tx: Transaction, *, rows: list[SigningKeyRow], fresh: FreshKey, newest: SigningKeyRow, now: datetime
) -> None:
    planned = [row for row in rows if state_of(row, now=now) == "next"]
    if planned:
        await signing_keys.activate(tx, kid=planned[0].kid, at=now)
        return
    await signing_keys.insert(tx, _row(fresh, sequence=newest.sequence + 1, activates_at=now, now=now))


async def _insert(
    tx: Transaction,
    *,
    fresh: FreshKey,
    rows: list[SigningKeyRow],
    activates_at: datetime,
    timetable: Timetable,
    now: datetime,
) -> SigningKeyRow:
    sequence = rows[-1].sequence + 1 if rows else 1
    row = _row(fresh, sequence=sequence, activates_at=activates_at, now=now)
    # The lock makes this node the only one here; the unique sequence would refuse a second key all the same.
    if not await signing_keys.insert(tx, row):
        raise AssertionError
    for predecessor in rows:
        if predecessor.retires_at is None:
            await signing_keys.plan(
                tx, kid=predecessor.kid, retires_at=activates_at, gone_at=activates_at + timetable.stay
            )
    return row


def _row(fresh: FreshKey, *, sequence: int, activates_at: datetime, now: datetime) -> SigningKeyRow:
    return SigningKeyRow(
        kid=fresh.kid,
        sequence=sequence,
        algorithm=ALGORITHM,
        public_jwk=fresh.public_jwk,
        private_key_encrypted=fresh.private_key_encrypted,
        created_at=now,
        activates_at=activates_at,
        retires_at=None,
        gone_at=None,
    )
