from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

R = TypeVar("R")

class Stretch:
    drawn: int
    exhausted: bool
    calling: bool
    def __init__(
        self,
        function: Callable[..., Any],
        items: Iterator[Any],
        star: bool,
        most: int,
        seconds: float,
    ) -> None: ...

class Results(Generic[R]):
    def __init__(
        self,
        pieces: Iterator[list[Any] | Stretch],
        failed: Callable[[Stretch, BaseException], BaseException],
    ) -> None: ...
    def __iter__(self) -> Iterator[R]: ...
    def __next__(self) -> R: ...
