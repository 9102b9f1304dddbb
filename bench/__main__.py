"""`make bench`: load on us and on the peer, in turns, and the table of targets."""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import uvloop
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from bench import population, report, servers, targets
from bench.accounting import ProcessTree, pin
from bench.load import Measurement, closed_loop, open_loop
from bench.population import Population
from bench.profiles import OPERATIONS, OURS_ONLY, Visitor
from bench.servers import Server
from bench.targets import Extras
from tests.support.postgresql import SUPERUSER, PostgresqlServer, find_binaries
from tests.support.server_process import free_port

SERVER_CORE, LOAD_CORE = 0, 1
# Durable, as in production; the rest as a small dedicated server would be set.
DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "max_connections": "100",
}
WARM_UP_SECONDS = 1.0
OPEN_LOOP_SHARE = 0.7
SIGNATURES = 300


@dataclass(slots=True)
class Bench:
    """One run: servers, people, and what was measured."""

    seconds: float
    rounds: int
    people: int
    database: ProcessTree
    ours: Server
    peer: Server | None
    results: dict[str, dict[str, Measurement]] = field(default_factory=dict)


def main() -> int:
    """Run what was asked for; answer 1 when a bound was missed."""
    asked = _arguments()
    if (os.cpu_count() or 1) < 2:
        print("make bench needs two cores: one for the server, one for the load and the database.")
        return 2
    pin(0, core=LOAD_CORE)
    profiles = asked.profiles.split(",") if asked.profiles else list(OPERATIONS)
    with tempfile.TemporaryDirectory(prefix="idp-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        database = stack.enter_context(_postgresql())
        url = database.create_database("ours")
        ours, filled = _populated(url, folder=folder / "ours", people=asked.people, stack=stack)
        peer, secret = None, servers.new_client_secret()
        if not asked.without_peer:
            running = servers.peer(
                free_port(),
                database_url=database.create_database("peer"),
                client_secret=secret,
                folder=folder,
                core=SERVER_CORE,
            )
            peer = stack.enter_context(running)
        bench = Bench(asked.seconds, asked.rounds, asked.people, _tree_of(database), ours, peer)
        extras = uvloop.run(_measure(bench, profiles, filled, secret, database.port))
        memory = {one.name: max(one.tree.memory_megabytes()) for one in (ours, peer) if one}
    sqlite = None
    if "refresh" in profiles and not asked.without_sqlite:
        sqlite = _measure_sqlite(asked.seconds, people=asked.people)
    verdicts = targets.judge(bench.results, replace(extras, sqlite_refreshes=sqlite))
    text = report.spell(bench.results, verdicts, memory=memory, signature_ms=extras.signature_ms)
    print(text)
    if asked.save:
        report.save(text, bench.results)
    return 0 if all(verdict.is_met for verdict in verdicts) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each round (5)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of each pair, ours then the peer (2)")
    parser.add_argument("--people", type=int, default=32, help="concurrent visitors (32)")
    parser.add_argument("--profiles", help=f"some of {','.join(OPERATIONS)}")
    parser.add_argument("--without-peer", action="store_true", help="measure us alone")
    parser.add_argument("--without-sqlite", action="store_true", help="leave SQLite out")
    parser.add_argument(
        "--save", action="store_true", help="write the picture and the tables to bench/results"
    )
    return parser.parse_args()


@contextmanager
def _postgresql() -> Iterator[PostgresqlServer]:
    server = PostgresqlServer()
    try:
        # Started from here, so on the load's core: what it costs the server's core is nothing.
        server.start(DURABLE)
        yield server
    finally:
        server.remove()


def _tree_of(database: PostgresqlServer) -> ProcessTree:
    return ProcessTree(int((database.folder / "data" / "postmaster.pid").read_text().split()[0]))


def _populated(
    url: str, *, folder: Path, people: int, stack: ExitStack, core: int | None = SERVER_CORE
) -> tuple[Server, Population]:
    """Fill a database and start our server on it."""
    folder.mkdir()
    port = free_port()
    filled = asyncio.run(population.populate(url, port=port, folder=folder, people=people))
    running = servers.ours(
        port, database_url=url, master_key_file=folder / "master.key", folder=folder, core=core
    )
    return stack.enter_context(running), filled


async def _measure(
    bench: Bench, profiles: list[str], filled: Population, secret: str, database_port: int
) -> Extras:
    idle = max(bench.ours.tree.memory_megabytes())
    ours = await population.our_visitors(filled)
    jwts = opaque = None
    if bench.peer:
        jwts, opaque = [
            await population.peer_visitors(
                bench.peer.port, client_secret=secret, people=bench.people, is_jwt=is_jwt
            )
            for is_jwt in (True, False)
        ]
    passkeys = await population.passkey_visitors(filled) if "passkey_sign_in" in profiles else []
    jwks_transactions = None
    for profile in profiles:
        before, started = _transactions(database_port), time.monotonic()
        theirs = opaque if profile in {"introspection", "userinfo"} else jwts
        await _pair(
            bench,
            profile,
            passkeys if profile in OURS_ONLY else ours,
            None if profile in OURS_ONLY else theirs,
        )
        if profile == "jwks":
            jwks_transactions = (_transactions(database_port) - before) / (time.monotonic() - started)
    late = None
    if "refresh" in profiles:
        rate = OPEN_LOOP_SHARE * bench.results["refresh"]["idp"].rate
        late = await open_loop(
            OPERATIONS["refresh"],
            ours,
            rate=rate,
            seconds=bench.seconds,
            server=bench.ours.tree,
            database=bench.database,
        )
        report.print_line("refresh, 70 % load", "idp", late)
    return Extras(_signature_ms(), late, jwks_transactions, idle, bench.ours.seconds_to_ready, None)


def _measure_sqlite(seconds: float, *, people: int) -> Measurement:
    """Refresh on an embedded database, every answer durable; its own time is part of the server's."""
    with tempfile.TemporaryDirectory(prefix="idp-bench-") as name, ExitStack() as stack:
        folder = Path(name) / "sqlite"
        server, filled = _populated(
            f"sqlite+aiosqlite:///{name}/idp.db", folder=folder, people=people, stack=stack
        )

        async def measure() -> Measurement:
            visitors = await population.our_visitors(filled)
            return await closed_loop(
                OPERATIONS["refresh"],
                visitors,
                seconds=seconds,
                server=server.tree,
                database=ProcessTree(0),
            )

        measured = uvloop.run(measure())
    report.print_line("refresh, SQLite", "idp", measured)
    return measured


async def _pair(bench: Bench, profile: str, ours: list[Visitor], theirs: list[Visitor] | None) -> None:
    """Load us and the peer in turns, A B A B, each after a short warm-up that does not count."""
    sides: list[tuple[Server, list[Visitor]]] = [(bench.ours, ours)]
    if bench.peer and theirs:
        sides.append((bench.peer, theirs))
    found = {server.name: Measurement() for server, _ in sides}
    for turn in range(bench.rounds):
        for server, visitors in sides:
            for seconds, counts in ((WARM_UP_SECONDS, False), (bench.seconds, True)):
                if turn and not counts:
                    continue
                measured = await closed_loop(
                    OPERATIONS[profile],
                    visitors,
                    seconds=seconds,
                    server=server.tree,
                    database=bench.database,
                )
                if counts or measured.errors:
                    found[server.name].add(measured)
    bench.results[profile] = found
    for name, measured in found.items():
        report.print_line(profile, name, measured)


def _transactions(port: int) -> int:
    command = [str(find_binaries() / "psql"), "--no-psqlrc", "-Atq", "-h", "127.0.0.1", "-p", str(port)]
    command += ["-U", SUPERUSER, "-c", "SELECT sum(xact_commit) FROM pg_stat_database WHERE datname = 'ours'"]
    answer = subprocess.run([*command, "postgres"], check=True, capture_output=True, text=True)
    return int(answer.stdout)


def _signature_ms() -> float:
    """Measure one RS256 signature alone on the server's core, in CPU time: the floor of what is signed."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pin(0, core=SERVER_CORE)
    for _ in range(20):
        key.sign(b"warm", padding.PKCS1v15(), SHA256())
    started = time.process_time()
    for _ in range(SIGNATURES):
        key.sign(b"x" * 700, padding.PKCS1v15(), SHA256())
    spent = time.process_time() - started
    pin(0, core=LOAD_CORE)
    return 1000 * spent / SIGNATURES


if __name__ == "__main__":
    sys.exit(main())
