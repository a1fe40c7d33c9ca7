"""The bar that shows how far a map is: tqdm's, which counts items."""

import os
import sys

from tqdm.auto import tqdm

from parallel_deco._errors import InvalidOptionError

__all__ = ["ENVIRONMENT", "Progress"]

#: "1" shows bars where the output is no terminal too, "0" shows none.
ENVIRONMENT = "PARALLEL_DECO_PROGRESS"


class Progress:
    """A bar on the standard error stream; nothing where that is no terminal, unless it is forced.

    Parameters
    ----------
    label : str
        What stands before the bar.
    total : int or None
        How many items there are, where that is known.

    Raises
    ------
    InvalidOptionError
        The environment variable has another value than 0 or 1.

    Notes
    -----
    Safe to use from many threads: tqdm has a lock.
    """

    def __init__(self, label: str, total: int | None) -> None:
        self._bar = tqdm(total=total, desc=label, disable=_disabled(), file=sys.stderr, unit="item", mininterval=0.05)

    def add(self, count: int) -> None:
        """Note that so many more items are done."""
        self._bar.update(count)

    def close(self) -> None:
        """Leave the bar as it is; does nothing when it is closed already."""
        self._bar.close()


def _disabled() -> bool | None:
    given = os.environ.get(ENVIRONMENT, "")
    if given not in ("", "0", "1"):
        raise InvalidOptionError(f"the environment variable {ENVIRONMENT} must be 0 or 1, not {given!r}")
    if given:
        return given == "0"
    return False if "notebook" in tqdm.__module__ else None  # None: where the output is no terminal
