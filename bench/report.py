"""How a run is told: lines while it goes on, tables at the end, a picture to keep."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import picture, targets
from bench.load import Measurement
from bench.targets import Results, Verdict

RESULTS = Path(__file__).parent / "results"
SHOWN_ERRORS = 3
_HEADINGS = ("profile", "server", "per s", "p50", "p95", "p99", "server CPU", "database CPU", "errors")


def spell(
    results: Results, verdicts: Sequence[Verdict], *, memory: Mapping[str, float], signature_ms: float
) -> str:
    """Answer both tables, and what they were measured on. Times are milliseconds."""
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    load = os.getloadavg()[1]
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    machine = f"{_processor()}, {os.cpu_count()} cores, {system}"
    lines = [
        "",
        f"{when}; {machine}; load average over 5 minutes {load:.1f}",
        f"one RS256 signature: {signature_ms:.3f} ms of CPU; memory under load: "
        + ", ".join(f"{name} {megabytes:.0f} MB" for name, megabytes in memory.items()),
        "",
        "| " + " | ".join(_HEADINGS) + " |",
        "|---|---|" + "---:|" * (len(_HEADINGS) - 2),
    ]
    for profile, by_server in results.items():
        lines += [line(profile, name, measured) for name, measured in by_server.items()]
    return "\n".join([*lines, "", targets.table(verdicts), ""])


def line(profile: str, name: str, one: Measurement) -> str:
    """Spell one measurement as a row."""
    latencies = " | ".join(f"{one.percentile_ms(share):.1f}" for share in (0.5, 0.95, 0.99))
    return (
        f"| {profile} | {name} | {one.rate:,.0f} | {latencies} | {one.server_cpu_ms:.2f} "
        f"| {one.database_cpu_ms:.2f} | {len(one.errors)} |"
    )


def print_line(profile: str, name: str, one: Measurement) -> None:
    """Print a measurement as soon as it is there, with some of its errors."""
    print(line(profile, name, one), flush=True)
    for error in sorted(set(one.errors))[:SHOWN_ERRORS]:
        print("    ", error)


def save(text: str, results: Results) -> None:
    """Keep a run's tables and picture."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.md").write_text(text.lstrip("\n"))
    title = f"idp beside oidc-provider, one core of {_processor()}"
    (RESULTS / "latest.svg").write_text(picture.draw(results, title=title))


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (text.partition(":")[2].strip() for text in lines if text.startswith("model name")), "unknown"
    )
