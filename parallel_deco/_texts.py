"""Times and sizes as a person reads them."""

__all__ = ["bytes_text", "counted", "seconds_text"]


def counted(count: int, thing: str) -> str:
    """Return how many there are of a thing."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def seconds_text(seconds: float) -> str:
    """Return a time with three digits and the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.9995 * size:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{_three_digits(seconds * 1e9)} ns"


def bytes_text(count: float) -> str:
    """Return a size with three digits and the unit that suits it."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= 0.9995 * size:
            return f"{_three_digits(count / size)} {unit}"
    return f"{count:.0f} bytes"


def _three_digits(number: float) -> str:
    """Return it with three digits, or all before the point, and never as a power of ten."""
    return f"{number:,.0f}" if number >= 999.5 else f"{number:.3g}"
