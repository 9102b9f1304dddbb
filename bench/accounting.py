"""What processes cost, from the operating system's own accounts (proc(5))."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessTree:
    """A process and all that it started; 0 is none."""

    pid: int

    def cpu_seconds(self) -> float:
        """User and system time of every member, and of those that ended and were waited for."""
        return sum(_cpu_seconds(pid) for pid in self._members())

    def memory_megabytes(self) -> list[float]:
        """Answer each member's proportional set size: a shared page counts in parts."""
        return [size for pid in self._members() if (size := _memory_megabytes(pid)) is not None]

    def _members(self) -> list[int]:
        children: dict[int, list[int]] = {}
        for entry in _PROC.iterdir():
            if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
                children.setdefault(int(fields[1]), []).append(int(entry.name))
        members = [self.pid] if self.pid else []
        for pid in members:
            members.extend(children.get(pid, ()))
        return members


def pin(pid: int, *, core: int) -> None:
    """Keep a process, and what it starts from now on, on one core."""
    os.sched_setaffinity(pid, {core})


def _stat(pid: int) -> list[str] | None:
    try:
        # The name in brackets may hold spaces: fields are counted from behind it, the state first.
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    # utime, stime, cutime, cstime.
    return sum(int(field) for field in fields[11:15]) / _TICKS if fields else 0.0


def _memory_megabytes(pid: int) -> float | None:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), None)
