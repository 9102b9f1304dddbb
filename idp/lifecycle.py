"""What a node does before it serves, while it serves, and after."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from idp.clock import Clock
from idp.errors import OAuthError
from idp.keys.keyring import Keyring, KeyringError
from idp.keys.master_key import MasterKey
from idp.keys.rotation import keep_keys
from idp.keys.timetable import RELOAD_INTERVAL, Timetable
from idp.settings import Settings
from idp.storage import deployment
from idp.storage.database import Database, Transaction
from idp.storage.migration import schema_state
from idp.web.outbound import Outbound

log: structlog.stdlib.BoundLogger = structlog.get_logger("idp.lifecycle")

MAX_CLOCK_SKEW = timedelta(seconds=2)
KEY_CHECK_INTERVAL = timedelta(minutes=5)


class StartupError(Exception):
    """The node must not serve; the message says which setting or command mends it."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something that this node does again and again; a failure is logged and tried again the next time."""

    name: str
    every: timedelta
    run: Callable[[datetime], Awaitable[object]]


class Lifecycle:
    """Checks that this node may join, keeps its jobs running, and stops them."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        outbound: Outbound,
        master_key: MasterKey,
        keyring: Keyring,
        jobs: tuple[Job, ...],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._database = database
        self._outbound = outbound
        self._master_key = master_key
        self._keyring = keyring
        self._jobs = (*jobs, Job("keep_keys", KEY_CHECK_INTERVAL, self.keep_keys))
        self._clock = clock
        self._running: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Check everything, load the keys and begin the jobs; raises StartupError."""
        try:
            await self._check_schema()
            await self._database.transact(
                _agree, issuer=self._settings.issuer, fingerprint=self._master_key.fingerprint
            )
            await self.keep_keys(self._clock())
        except KeyringError as fault:
            raise StartupError(str(fault)) from fault
        except OAuthError as fault:
            raise StartupError(f"database_url: the database cannot be used ({fault.detail})") from fault
        self._running = [asyncio.create_task(self._repeat(job)) for job in self._jobs]

    async def stop(self) -> None:
        """Stop the jobs and close what is open."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._outbound.close()
        await self._database.close()

    async def keep_keys(self, now: datetime) -> None:
        """Make the signing keys that are due."""
        await keep_keys(
            self._database,
            keyring=self._keyring,
            timetable=Timetable.from_settings(self._settings),
            rsa_bits=self._settings.keys.rsa_bits,
            now=now,
        )

    async def database_is_well(self) -> str | None:
        """Whether the database answers, and its clock agrees with ours."""
        seconds = await self._database.read(deployment.database_time)
        skew = abs(seconds - self._clock().timestamp())
        return "clock_differs" if skew > MAX_CLOCK_SKEW.total_seconds() else None

    async def keys_are_fresh(self) -> str | None:
        """Whether the keyring was read lately."""
        loaded_at = self._keyring.loaded_at
        if loaded_at is None or self._clock() - loaded_at > 2 * RELOAD_INTERVAL:
            return "stale"
        return None

    async def _check_schema(self) -> None:
        try:
            state = await schema_state(self._settings.database_url)
        except OSError as fault:
            raise StartupError(f"database_url: the database cannot be reached ({fault})") from fault
        if not state.is_newest:
            raise StartupError("the database's schema is not the newest; run `idp migrate` first")

    async def _repeat(self, job: Job) -> None:
        while True:
            try:
                await job.run(self._clock())
            except (OAuthError, KeyringError, OSError) as fault:
                reason = fault.detail if isinstance(fault, OAuthError) else type(fault).__name__
                log.warning("job_failed", job=job.name, reason=reason)
            await asyncio.sleep(job.every.total_seconds())


async def _agree(tx: Transaction, *, issuer: str, fingerprint: str) -> None:
    """All nodes of a deployment have one issuer and one master key; a stranger does not join."""
    if await deployment.agree(tx, name="issuer", value=issuer) != issuer:
        raise StartupError("issuer: this database belongs to another issuer; set IDP_ISSUER to that one")
    if await deployment.agree(tx, name="master_key", value=fingerprint) != fingerprint:
        raise StartupError(
            "master_key_file: this database was made with another master key; start with that one"
        )
