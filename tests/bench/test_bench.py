"""The benchmark itself: a second of load on a real server comes back as a measurement without errors."""

from pathlib import Path

import pytest

from bench import population, servers
from bench.accounting import ProcessTree
from bench.load import Measurement, closed_loop, open_loop
from bench.picture import draw
from bench.profiles import OPERATIONS
from bench.targets import Extras, judge, table
from tests.support.server_process import free_port

PEOPLE = 2


@pytest.mark.parametrize("profile", ["refresh", "client_credentials"])
async def test_a_second_of_load_is_measured(profile: str, tmp_path: Path) -> None:
    url, port = f"sqlite+aiosqlite:///{tmp_path}/idp.db", free_port()
    filled = await population.populate(url, port=port, folder=tmp_path, people=PEOPLE)
    key_file = tmp_path / "master.key"
    with servers.ours(port, database_url=url, master_key_file=key_file, folder=tmp_path, core=None) as server:
        visitors = await population.our_visitors(filled)
        closed = await closed_loop(
            OPERATIONS[profile], visitors, seconds=1, server=server.tree, database=ProcessTree(0)
        )
        steady = await open_loop(
            OPERATIONS[profile], visitors, rate=5, seconds=1, server=server.tree, database=ProcessTree(0)
        )
        for visitor in visitors:
            visitor.connection.close()
    assert (closed.errors, steady.errors) == ([], [])
    assert closed.operations > 0
    assert closed.server_cpu_ms > 0
    assert steady.operations == 5


def test_a_missed_bound_is_told_from_one_that_is_met() -> None:
    ours = Measurement(seconds=1, latencies=[0.01] * 300, server_cpu_seconds=0.3)
    peer = Measurement(seconds=1, latencies=[0.02] * 250, server_cpu_seconds=0.25)
    extras = Extras(
        signature_ms=0.3,
        open_loop=None,
        jwks_transactions_per_second=None,
        idle_megabytes=80,
        seconds_to_ready=1,
        sqlite_refreshes=None,
    )
    results = {"refresh": {"idp": ours, "peer": peer}}
    found = {verdict.name: verdict.is_met for verdict in judge(results, extras)}
    assert found["refresh: rate against the peer's"] is False
    assert found["refresh: CPU against its two signatures"] is True
    assert "| refresh: rate against the peer's | >= 1.5x | 1.20x | MISSED |" in table(judge(results, extras))
    assert draw(results, title="a & b").count("<rect") == 5
