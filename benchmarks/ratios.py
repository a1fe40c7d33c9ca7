"""Ratios of medians to a base that belongs to the same question, and what became worse since they were kept."""

from collections.abc import Iterable, Mapping

__all__ = ["BASES", "Table", "base_of", "compare", "ratios"]

#: Question, entry, and a number.
Table = dict[str, dict[str, float]]

#: What the others of a question are compared with; the first of these that took part.
BASES = (
    "the loop",
    "the function itself",
    "C, -O3 -march=native",
    "the kernel, one thread",
    "ThreadPoolExecutor",
    "ProcessPoolExecutor, forkserver",
)


def base_of(entries: Iterable[str]) -> str | None:
    """Return the entry that the others of its question are compared with."""
    return next((base for base in BASES if base in set(entries)), None)


def ratios(medians: Table) -> Table:
    """Return how many times as long as its question's base each entry took; questions without a base are left out."""
    found: Table = {}
    for question, entries in medians.items():
        base = base_of(entries)
        if base is not None:
            found[question] = {name: round(taken / entries[base], 4) for name, taken in entries.items()}
    return found


def compare(before: Mapping[str, Mapping[str, float]], now: Table, tolerance: float) -> list[str]:
    """Return a line for each entry of this library whose ratio grew by more than the tolerance."""
    worse = []
    for question, entries in before.items():
        for name, ratio in entries.items():
            found = now.get(question, {}).get(name)
            ours = name.startswith(("parallel_deco", "the kernel"))
            if ours and found is not None and found > tolerance * ratio:
                worse.append(f"{question}, {name}: {ratio:.2f} times its base when it was kept, {found:.2f} now")
    return worse
