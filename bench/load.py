"""Closed- and open-loop load, and what came of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from bench.accounting import ProcessTree

V = TypeVar("V")


@dataclass(slots=True)
class Measurement:
    """What one profile did against one server, over all its rounds."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    server_cpu_seconds: float = 0.0
    database_cpu_seconds: float = 0.0

    @property
    def operations(self) -> int:
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Operations each second."""
        return self.operations / self.seconds if self.seconds else 0.0

    @property
    def server_cpu_ms(self) -> float:
        """CPU milliseconds of the server for each operation."""
        return 1000 * self.server_cpu_seconds / max(1, self.operations)

    @property
    def database_cpu_ms(self) -> float:
        """CPU milliseconds of the database for each operation."""
        return 1000 * self.database_cpu_seconds / max(1, self.operations)

    def percentile_ms(self, share: float) -> float:
        """Answer the latency that this share of the operations stayed under."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0

    def add(self, other: "Measurement") -> None:
        """Take in another round."""
        self.seconds += other.seconds
        self.latencies += other.latencies
        self.errors += other.errors
        self.server_cpu_seconds += other.server_cpu_seconds
        self.database_cpu_seconds += other.database_cpu_seconds


async def closed_loop(
    operation: Callable[[V], Awaitable[None]],
    visitors: Sequence[V],
    *,
    seconds: float,
    server: ProcessTree,
    database: ProcessTree,
) -> Measurement:
    """Let every visitor ask again as soon as it was answered: how much is done at most."""
    measured = Measurement()
    end = time.perf_counter() + seconds

    async def visit(visitor: V) -> None:
        while (started := time.perf_counter()) < end:
            if not await _tried(operation, visitor, measured):
                return
            measured.latencies.append(time.perf_counter() - started)

    return await _accounted(measured, [visit(visitor) for visitor in visitors], server, database)


async def open_loop(
    operation: Callable[[V], Awaitable[None]],
    visitors: Sequence[V],
    *,
    rate: float,
    seconds: float,
    server: ProcessTree,
    database: ProcessTree,
) -> Measurement:
    """Ask at a steady rate whether or not answers come; latency counts from when asking was due."""
    measured = Measurement()
    start = time.perf_counter()
    arrivals = iter(range(int(rate * seconds)))

    # Each free visitor takes the next arrival: with enough of them, none waits for a visitor.
    async def visit(visitor: V) -> None:
        for arrival in arrivals:
            due = start + arrival / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if not await _tried(operation, visitor, measured):
                return
            measured.latencies.append(time.perf_counter() - due)

    return await _accounted(measured, [visit(visitor) for visitor in visitors], server, database)


async def _tried(operation: Callable[[V], Awaitable[None]], visitor: V, measured: Measurement) -> bool:
    try:
        await operation(visitor)
    except Exception as fault:  # noqa: BLE001 - every failure is counted, and one visitor ends with it
        measured.errors.append(f"{type(fault).__name__}: {fault}")
        return False
    return True


async def _accounted(
    measured: Measurement, visits: Sequence[Awaitable[None]], server: ProcessTree, database: ProcessTree
) -> Measurement:
    before = server.cpu_seconds(), database.cpu_seconds()
    started = time.perf_counter()
    await asyncio.gather(*visits)
    measured.seconds = time.perf_counter() - started
    measured.server_cpu_seconds = server.cpu_seconds() - before[0]
    measured.database_cpu_seconds = database.cpu_seconds() - before[1]
    return measured
