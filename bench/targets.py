"""What we promise of our speed, and whether a run kept it."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.load import Measurement

Results = Mapping[str, Mapping[str, Measurement]]


@dataclass(frozen=True, slots=True)
class Extras:
    """What is measured once a run, beside the profiles; None where it was not."""

    signature_ms: float
    open_loop: Measurement | None
    jwks_transactions_per_second: float | None
    idle_megabytes: float
    seconds_to_ready: float
    sqlite_refreshes: Measurement | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target of one run."""

    name: str
    bound: str
    found: str
    is_met: bool


def judge(results: Results, extras: Extras) -> list[Verdict]:
    """Hold a run against every target that it measured."""
    found = [
        *_ratio(results, "refresh", "rate", lambda one: one.rate, operator.ge, 1.5),
        *_ratio(results, "refresh", "CPU", lambda one: one.server_cpu_ms, operator.le, 0.75),
        *_ratio(results, "code_flow", "rate", lambda one: one.rate, operator.ge, 1.5),
        *_ratio(results, "client_credentials", "rate", lambda one: one.rate, operator.ge, 1.0),
        *_ratio(results, "introspection", "rate", lambda one: one.rate, operator.ge, 1.0),
        *_ratio(results, "userinfo", "rate", lambda one: one.rate, operator.ge, 1.0),
    ]
    if refresh := results.get("refresh", {}).get("idp"):
        floor = refresh.server_cpu_ms / (2 * extras.signature_ms)
        found.append(_bounded("refresh: CPU against its two signatures", floor, operator.le, 1.8, "x"))
    if extras.open_loop:
        late = extras.open_loop.percentile_ms(0.99)
        found.append(_bounded("refresh: p99 at 70 % load", late, operator.le, 50, " ms"))
    if extras.jwks_transactions_per_second is not None:
        # The node's own jobs ask a few things a second, whatever the load is.
        found.append(
            _bounded(
                "jwks: database transactions", extras.jwks_transactions_per_second, operator.le, 20, "/s"
            )
        )
    if extras.sqlite_refreshes:
        found.append(
            _bounded("refresh on SQLite, durable", extras.sqlite_refreshes.rate, operator.ge, 400, "/s")
        )
    found.append(_bounded("memory of an idle process", extras.idle_megabytes, operator.le, 90, " MB"))
    found.append(_bounded("start to ready", extras.seconds_to_ready, operator.le, 1.5, " s"))
    errors = sum(len(one.errors) for by_server in results.values() for one in by_server.values())
    found.append(_bounded("errors", errors, operator.le, 0, ""))
    return found


def _ratio(
    results: Results,
    profile: str,
    what: str,
    read: Callable[[Measurement], float],
    compare: Callable[[float, float], bool],
    bound: float,
) -> list[Verdict]:
    by_server = results.get(profile, {})
    if not {"idp", "peer"} <= by_server.keys() or not read(by_server["peer"]):
        return []
    ratio = read(by_server["idp"]) / read(by_server["peer"])
    return [_bounded(f"{profile}: {what} against the peer's", ratio, compare, bound, "x")]


def _bounded(
    name: str, value: float, compare: Callable[[float, float], bool], bound: float, unit: str
) -> Verdict:
    sign = ">=" if compare is operator.ge else "<="
    return Verdict(name, f"{sign} {bound:g}{unit}", f"{value:.2f}{unit}", compare(value, bound))


def table(verdicts: Sequence[Verdict]) -> str:
    """Spell the verdicts for a terminal and for a document alike (a Markdown table)."""
    lines = ["| target | bound | found | |", "|---|---|---|---|"]
    lines += [
        f"| {one.name} | {one.bound} | {one.found} | {'met' if one.is_met else 'MISSED'} |"
        for one in verdicts
    ]
    return "\n".join(lines)
