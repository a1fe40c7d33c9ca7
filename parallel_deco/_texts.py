"""Times and sizes as a person reads them."""

__all__ = ["bytes_text", "counted", "seconds_text"]


def counted(count: int, thing: str) -> str:
    """Return how many there are of a thing."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def seconds_text(seconds: float) -> str:
    """Return a time with three digits and the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def bytes_text(count: float) -> str:
    """Return a size with three digits and the unit that suits it."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"
