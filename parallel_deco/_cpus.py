"""The processors that this process may use, and whether the interpreter has a GIL."""

import os
import sys

__all__ = ["MOVES", "available_cpus", "cpu_quota", "cpus_contended", "gil_enabled"]

#: Whether threads are moved from CPU to CPU. Not where the system ends who tries, as a filter of system calls may.
MOVES = os.environ.get("PARALLEL_DECO_SEATS", "1") not in ("", "0")


def available_cpus() -> int:
    """Return how many CPUs this process may compute on: its affinity, bounded by the container's quota."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return affinity if quota is None else max(1, min(affinity, int(-(-quota // 1))))


def cpu_quota() -> float | None:
    """Return the CPUs that the container's quota allows (cgroup v2, then v1), or None when there is no quota."""
    if not _quota:
        _quota.append(_read_quota())
    return _quota[0]


#: What was read; once, for a container keeps its quota.
_quota: list[float | None] = []


def _read_quota() -> float | None:
    try:
        quota, period = _text("/sys/fs/cgroup/cpu.max").split()
    except (OSError, ValueError):
        try:
            quota = _text("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
            period = _text("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
        except OSError:
            return None
    try:
        cpus = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max": no quota
        return None
    return cpus if cpus > 0 else None


def cpus_contended() -> bool:
    """Return whether more threads of all programs than there are CPUs could compute now, beside the calling one.

    20 µs. False where the system does not tell.
    """
    try:
        runnable = int(_text("/proc/loadavg").split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return False
    return runnable - 1 > (os.cpu_count() or 1)


def gil_enabled() -> bool:
    """Return whether Python code runs one thread at a time, now: an import can switch the GIL back on."""
    enabled = getattr(sys, "_is_gil_enabled", None)
    return True if enabled is None else bool(enabled())


def _text(path: str) -> str:
    with open(path) as file:  # not pathlib: it takes 5 ms to import, in every worker
        return file.read()
