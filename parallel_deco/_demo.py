"""The four jobs of ``parallel-deco demo``: what `auto` does with each, and what it gains over the plain loop."""

import statistics
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parallel_deco._decorator import ParallelFunction, parallel
from parallel_deco.kernels import mandelbrot, reference

if TYPE_CHECKING:
    import numpy

__all__ = ["Outcome", "jobs", "run", "write_picture"]

#: The part of the plane that the picture shows.
LEFT, RIGHT, BOTTOM, TOP = -2.2, 0.8, -1.2, 1.2
BANDS = 48
ROUNDS = 5


@parallel
def echo(text: str, seconds: float) -> str:
    """Wait like something far away, and give the text back."""
    time.sleep(seconds)
    return text


@parallel
def kernel(band: int, width: int, height: int, iterations: int) -> "numpy.ndarray[Any, Any]":
    """Compute a band of the Mandelbrot set with the compiled kernel, which releases the GIL."""
    return mandelbrot(LEFT, RIGHT, *_edges(band), width, height // BANDS, iterations)


@parallel
def twin(band: int, width: int, height: int, iterations: int) -> "numpy.ndarray[Any, Any]":
    """Compute a band of the Mandelbrot set in pure Python, which holds the GIL."""
    return reference.mandelbrot(LEFT, RIGHT, *_edges(band), width, height // BANDS, iterations)


@parallel
def tiny(x: int) -> int:
    """Do next to nothing."""
    return x * x + 1


def _edges(band: int) -> tuple[float, float]:
    rise = (TOP - BOTTOM) / BANDS
    return BOTTOM + band * rise, BOTTOM + (band + 1) * rise


@dataclass(frozen=True, slots=True)
class Job:
    """One function with its work, as a plain loop and in parallel."""

    name: str
    what: str
    function: ParallelFunction[..., Any]
    loop: Callable[[], list[Any]]
    parallel: Callable[[], list[Any]]
    rounds: int = ROUNDS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job showed; times in seconds, medians over the rounds.

    `ratio` says how many times faster than the plain loop: the median over the rounds, each against its own neighbour,
    for what else the machine does meanwhile slows both.
    """

    name: str
    what: str
    route: str
    reason: str
    loop: float
    parallel: float
    first: float
    ratio: float
    same: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def jobs(seconds: float) -> Iterator[Job]:
    """Yield the four jobs; `seconds` is how long echo sleeps."""
    words = [("Hello", seconds), ("world", seconds)]
    yield Job(
        "echo",
        f"two sleeps of {seconds:g} s, submitted",
        echo,
        lambda: [echo(*word) for word in words],
        lambda: [task.result() for task in [echo.submit(*word) for word in words]],
        rounds=1,
    )
    yield _bands("kernel", "the Mandelbrot set, compiled, GIL released", kernel, 4800, 3600, 4000)
    yield _bands("twin", "the same in pure Python, smaller", twin, 480, 384, 500)
    bare = tiny.__wrapped__
    numbers = range(100_000)
    yield Job(
        "tiny",
        "x * x + 1 for 100,000 numbers",
        tiny,
        lambda: [bare(x) for x in numbers],
        lambda: list(tiny.map(numbers)),
        rounds=15,
    )


def _bands(name: str, what: str, function: ParallelFunction[..., Any], width: int, height: int, iterations: int) -> Job:
    work = [(band, width, height, iterations) for band in range(BANDS)]
    bare = function.__wrapped__
    return Job(name, what, function, lambda: [bare(*band) for band in work], lambda: list(function.starmap(work)))


def run(job: Job, progress: Callable[[], object]) -> tuple[Outcome, list[Any]]:
    """Run a job by turns as a loop and in parallel; return what it showed, and its results."""
    loop: list[float] = []
    together: list[float] = []
    same = True
    results: list[Any] = []
    for _ in range(job.rounds):
        seconds, results = _timed(job.parallel)
        together.append(seconds)
        progress()
        seconds, expected = _timed(job.loop)
        loop.append(seconds)
        progress()
        same = same and _equal(results, expected)
    explained = job.function.explain()
    outcome = Outcome(
        job.name,
        job.what,
        explained.route,
        explained.reason,
        statistics.median(loop),
        statistics.median(together),
        together[0],
        statistics.median(one / other for one, other in zip(loop, together, strict=True)),
        same,
    )
    return outcome, results


def _timed(work: Callable[[], list[Any]]) -> tuple[float, list[Any]]:
    start = time.perf_counter()
    results = work()
    return time.perf_counter() - start, results


def _equal(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    import numpy

    return len(ours) == len(theirs) and all(map(numpy.array_equal, ours, theirs))


def write_picture(bands: "Sequence[numpy.ndarray[Any, Any]]", path: Path) -> None:
    """Write iteration counts as a PNG picture, bands from the bottom up.

    Parameters
    ----------
    bands : sequence of ndarray of shape (rows, width), int32
    path : Path

    Raises
    ------
    OSError
        The file cannot be written.
    """
    import numpy

    counts = numpy.concatenate(list(bands))[::-1]
    inside = counts == counts.max()
    shade = (255 * numpy.sqrt(numpy.minimum(counts, 100) / 100)).astype(numpy.uint8)
    colours = numpy.stack([shade, shade // 2 + 40, 255 - shade], axis=-1)
    colours[inside] = 0
    height, width, _ = colours.shape
    rows = numpy.zeros((height, 1 + 3 * width), numpy.uint8)
    rows[:, 1:] = colours.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows.tobytes())), _chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
