"""Statements built once, and the short way to PostgreSQL for those that stand alone."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import asyncpg  # type: ignore[import-untyped]  # It carries no types.
import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

Convert: TypeAlias = Callable[[Any], Any]  # Any: whatever the column's type takes and gives.


class Prepared:
    """A statement whose every value is a named parameter, so that it is compiled once."""

    __slots__ = ("_for_driver", "statement")

    def __init__(self, statement: sa.Select[Any] | sa.Update) -> None:  # Any: rows are typed by their reader.
        self.statement = statement
        self._for_driver: _DriverStatement | None = None

    def for_driver(self, dialect: Dialect) -> "_DriverStatement":
        """Answer the statement as the driver wants it."""
        if self._for_driver is None:
            self._for_driver = _DriverStatement(self.statement, dialect)
        return self._for_driver


class Autocommit:
    """PostgreSQL's driver itself, for one statement that commits itself: no cursor, no greenlet."""

    __slots__ = ("_connection", "_dialect")

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", *, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    # Any: the caller's frozen type says what the columns are.
    async def first_row(self, prepared: Prepared, parameters: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """Run a statement that answers one row or none."""
        statement = prepared.for_driver(self._dialect)
        record = await self._connection.fetchrow(statement.sql, *statement.arguments(parameters))
        return None if record is None else statement.row(record)


Lane: TypeAlias = AsyncConnection | Autocommit
"""What a prepared query takes first: a transaction, or the short way."""


# Any: as Autocommit.first_row.
async def first_row(lane: Lane, prepared: Prepared, parameters: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """Run a prepared statement on either; answer its row, or None."""
    if isinstance(lane, Autocommit):
        return await lane.first_row(prepared, parameters)
    row = (await lane.execute(prepared.statement, dict(parameters))).one_or_none()
    return None if row is None else tuple(row)


class _DriverStatement:
    """A compiled statement, with the conversions that SQLAlchemy's types make on the way in and out."""

    __slots__ = ("_binders", "_readers", "sql")

    def __init__(self, statement: sa.Select[Any] | sa.Update, dialect: Dialect) -> None:  # Any: as Prepared.
        compiled = statement.compile(dialect=dialect)
        if not isinstance(compiled, sa.sql.compiler.SQLCompiler) or compiled.positiontup is None:
            raise TypeError("not a statement with numbered parameters")
        self.sql = str(compiled)
        constants = compiled.params
        self._binders = tuple(
            (
                name,
                compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect),
                None if compiled.binds[name].required else constants[name],
            )
            for name in compiled.positiontup
        )
        readers = (
            (place, column.type.dialect_impl(dialect).result_processor(dialect, None))
            for place, column in enumerate(statement.exported_columns)
        )
        self._readers: tuple[tuple[int, Convert], ...] = tuple(
            (place, reader) for place, reader in readers if reader is not None
        )

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:  # Any: as Convert.
        """Put the named values into the statement's order."""
        values = []
        for name, convert, constant in self._binders:
            value = parameters.get(name, constant)
            values.append(convert(value) if convert is not None else value)
        return values

    def row(self, record: asyncpg.Record) -> tuple[Any, ...]:  # Any: as Convert.
        """Read what the driver answered."""
        values = list(record)
        for place, read in self._readers:
            values[place] = read(values[place])
        return tuple(values)
