"""WebAuthn ceremonies under way: each challenge bound to browser and purpose, used once."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage.database import Transaction
from idp.storage.tables import ceremonies


@dataclass(frozen=True, slots=True)
class Ceremony:
    """One row of `ceremonies`. `credential_ids` (base64url) None: any passkey may answer."""

    challenge: bytes
    purpose: str
    browser_sha256: bytes
    account_id: str | None
    enrolment_sha256: bytes | None
    credential_ids: list[str] | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


_COLUMNS = tuple(ceremonies.c[field.name] for field in fields(Ceremony))


async def insert(tx: Transaction, ceremony: Ceremony) -> None:
    """Remember a challenge that was handed out."""
    values = {field.name: getattr(ceremony, field.name) for field in fields(Ceremony)}
    await tx.execute(sa.insert(ceremonies).values(values))


async def use(
    tx: Transaction, *, presented_challenge: bytes, purpose: str, browser_sha256: bytes, now: datetime
) -> Ceremony | None:
    """Use a challenge once, for its purpose, from its browser; None when it is unknown, used or expired."""
    result = await tx.execute(
        sa.update(ceremonies)
        .where(
            ceremonies.c.challenge == presented_challenge,
            ceremonies.c.purpose == purpose,
            ceremonies.c.browser_sha256 == browser_sha256,
            ceremonies.c.used_at.is_(None),
            ceremonies.c.expires_at > now,
        )
        .values(used_at=now)
        .returning(*_COLUMNS)
    )
    row = result.one_or_none()
    return Ceremony(*row) if row else None


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete challenges that expired before `before`; answer how many went."""
    doomed = sa.select(ceremonies.c.challenge).where(ceremonies.c.expires_at < before).limit(limit)
    result = await tx.execute(sa.delete(ceremonies).where(ceremonies.c.challenge.in_(doomed)))
    return result.rowcount
