"""The bar that shows how far a map is: tqdm's, which counts items."""

import os
import sys
from contextlib import suppress
from typing import Any

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
    Safe to use from many threads: tqdm has a lock, which an error of the stream would leave taken.
    """

    def __init__(self, label: str, total: int | None) -> None:
        disabled = True if sys.stderr is None else _disabled()
        self._bar = tqdm(
            total=total, desc=label, disable=disabled, file=_Stream(sys.stderr), unit="item", mininterval=0.05
        )

    def add(self, count: int) -> None:
        """Note that so many more items are done."""
        self._bar.update(count)

    def close(self) -> None:
        """Leave the bar as it is; does nothing when it is closed already."""
        self._bar.close()


class _Stream:
    """A stream that may be gone, full, or too narrow for a character: no map ends for the bar's sake."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __eq__(self, other: object) -> bool:
        """Whether it is the same stream; tqdm asks whether its bars are on a standard one."""
        return other is self._stream or (isinstance(other, _Stream) and other._stream is self._stream)

    def __hash__(self) -> int:
        """As the stream itself."""
        return hash(self._stream)

    def write(self, text: str) -> None:
        """Write what can be written."""
        with suppress(OSError, ValueError):  # ValueError: it is closed
            try:
                self._stream.write(text)
            except UnicodeEncodeError as error:
                self._stream.write(text.encode(error.encoding, "replace").decode(error.encoding))

    def flush(self) -> None:
        """Have it written."""
        with suppress(OSError, ValueError):
            self._stream.flush()


def _disabled() -> bool | None:
    given = os.environ.get(ENVIRONMENT, "")
    if given not in ("", "0", "1"):
        raise InvalidOptionError(f"the environment variable {ENVIRONMENT} must be 0 or 1, not {given!r}")
    if given:
        return given == "0"
    return False if "notebook" in tqdm.__module__ else None  # None: where the output is no terminal
