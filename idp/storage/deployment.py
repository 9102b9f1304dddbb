"""What every node of one deployment must agree on, remembered by the first."""

from typing import Any

import sqlalchemy as sa

from idp.storage.database import Transaction, insert_if_new
from idp.storage.tables import deployment


async def agree(tx: Transaction, *, name: str, value: str) -> str:
    """Remember `value` under `name` if nobody did yet; answer what is remembered."""
    await insert_if_new(tx, deployment, {"name": name, "value": value})
    result = await tx.execute(sa.select(deployment.c.value).where(deployment.c.name == name))
    remembered: str = result.scalar_one()
    return remembered


async def replace(tx: Transaction, *, name: str, value: str) -> None:
    """Change what is remembered, on an operator's word."""
    await tx.execute(sa.update(deployment).where(deployment.c.name == name).values(value=value))


async def database_time(tx: Transaction) -> float:
    """Answer the database's clock, in seconds since 1970."""
    if tx.dialect.name == "sqlite":
        now: sa.ColumnElement[Any] = (sa.func.julianday("now") - 2_440_587.5) * 86_400
    else:
        now = sa.func.extract("epoch", sa.func.clock_timestamp())
    result = await tx.execute(sa.select(sa.cast(now, sa.Float)))
    seconds: float = result.scalar_one()
    return seconds
