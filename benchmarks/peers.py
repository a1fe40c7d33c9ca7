"""The contenders: each library's pool behind two methods, as its users would write it, or tuned by hand.

`width` and `chunksize` are None for what a user gets who sets nothing. Each library is imported when its pool is made.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

__all__ = ["PEERS", "Ours", "Peer", "missing"]

Function = Callable[[Any], Any]
Result = Callable[[], Any]


class Peer:
    """A pool that can be used until it is closed.

    Parameters
    ----------
    width : int, optional
    chunksize : int, optional
        Items that are sent together.
    """

    name: ClassVar[str]
    package: ClassVar[str | None] = None  #: what must be installed
    in_threads: ClassVar[bool] = False
    submits: ClassVar[bool] = True  #: whether it has a call for a single task
    tunes: ClassVar[tuple[str, ...]] = ("width", "chunksize")

    def __init__(self, width: int | None = None, chunksize: int | None = None) -> None:
        self.width = width
        self.chunksize = chunksize
        self.start()

    def start(self) -> None:
        """Make the pool."""

    def submit(self, function: Function, argument: Any) -> Result:
        """Start a call; return what waits for its result."""
        raise NotImplementedError

    def map(self, function: Function, items: Iterable[Any]) -> list[Any]:
        """Call it for all items, and wait for all results, in order."""
        raise NotImplementedError

    def close(self) -> None:
        """End the workers."""


class Loop(Peer):
    """No library: the list comprehension."""

    name = "the loop"
    submits = False
    tunes = ()

    def map(self, function: Function, items: Iterable[Any]) -> list[Any]:
        return [function(item) for item in items]


class Ours(Peer):
    """This library, with a backend."""

    name = "parallel_deco"
    backend: ClassVar[str] = "auto"

    def start(self) -> None:
        self._decorated: dict[Function, Any] = {}

    def _function(self, function: Function) -> Any:
        from parallel_deco import parallel

        if function not in self._decorated:
            self._decorated[function] = parallel(
                function, backend=self.backend, max_workers=self.width, chunksize=self.chunksize
            )
        return self._decorated[function]

    def submit(self, function: Function, argument: Any) -> Result:
        return self._function(function).submit(argument).result

    def map(self, function: Function, items: Iterable[Any]) -> list[Any]:
        return list(self._function(function).map(items))

    def close(self) -> None:
        from parallel_deco import shutdown

        shutdown()


class OursThreads(Ours):
    """This library, told to take threads."""

    name = "parallel_deco threads"
    backend = "threads"
    in_threads = True


class OursProcesses(Ours):
    """This library, told to take processes."""

    name = "parallel_deco processes"
    backend = "processes"


class Threads(Peer):
    """The standard library's threads."""

    name = "ThreadPoolExecutor"
    in_threads = True
    tunes = ("width",)

    def start(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._pool = ThreadPoolExecutor(self.width)

    def submit(self, function: Function, argument: Any) -> Result:
        return self._pool.submit(function, argument).result

    def map(self, function: Function, items: Iterable[Any]) -> list[Any]:
        return list(self._pool.map(function, items))

    def close(self) -> None:
        self._pool.shutdown()


class Processes(Peer):
    """The standard library's processes."""

    name = "ProcessPoolExecutor"

    def start(self) -> None:
        from concurrent.futures import ProcessPoolExecutor

        self._pool = ProcessPoolExecutor(self.width)

    def submit(self, function: Function, argument: Any) -> Result:
        return self._pool.submit(function, argument).result

    def map(self, function: Function, items: Iterable[Any]) -> list[Any]:
        return list(self._pool.map(function, items, chunksize=self.chunksize or 1))

    def close(self) -> None:
        self._pool.shutdown()


class Pool(Peer):
    """The standard library's older pool, which cuts chunks by itself."""

    name = "multiprocessing.Pool"

    def start(self) -> None:
        import multiprocessing

        self._pool = multiprocessing.Pool(self.width)

    def submit(self, function: Function, argument: Any) -> Result:
        return self._pool.apply_async(function, (argument,)).get

    def map(self, function: Function, items: Iterable[Any]) -> list[Any]:
        return self._pool.map(function, items, chunksize=self.chunksize)

    def close(self) -> None:
        self._pool.terminate()
        self._pool.join()


class Loky(Peer):
    """joblib's executor."""

    name = "loky"
    package = "loky"

    def start(self) -> None:
        from loky import get_reusable_executor

        self._pool = get_reusable_executor(self.width)

    def submit(self, function: Function, argument: Any) -> Result:
        return self._pool.submit(function, argument).result

    def map(self, function: Function, items: Iterable[Any]) -> list[Any]:
        return list(self._pool.map(function, items, chunksize=self.chunksize or 1))

    def close(self) -> None:
        self._pool.shutdown(kill_workers=True)


class Joblib(Peer):
    """joblib with processes."""

    name = "joblib"
    package = "joblib"
    submits = False
    backend: ClassVar[str] = "loky"

    def start(self) -> None:
        from joblib import Parallel

        size = "auto" if self.chunksize is None else self.chunksize
        self._pool = Parallel(self.width or -1, backend=self.backend, batch_size=size)
        self._pool.__enter__()

    def map(self, function: Function, items: Iterable[Any]) -> list[Any]:
        from joblib import delayed

        return list(self._pool(delayed(function)(item) for item in items))

    def close(self) -> None:
        self._pool.__exit__(None, None, None)
        if self.backend == "loky":
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor().shutdown(kill_workers=True)


class JoblibThreads(Joblib):
    """joblib with threads."""

    name = "joblib threading"
    backend = "threading"
    in_threads = True


class Pebble(Peer):
    """pebble's pool of processes."""

    name = "pebble"
    package = "pebble"

    def start(self) -> None:
        from pebble import ProcessPool

        self._pool = ProcessPool(self.width or os.cpu_count())

    def submit(self, function: Function, argument: Any) -> Result:
        return self._pool.schedule(function, args=(argument,)).result

    def map(self, function: Function, items: Iterable[Any]) -> list[Any]:
        return list(self._pool.map(function, items, chunksize=self.chunksize or 1).result())

    def close(self) -> None:
        self._pool.stop()
        self._pool.join()


class Mpire(Peer):
    """mpire's pool of processes."""

    name = "mpire"
    package = "mpire"

    def start(self) -> None:
        from mpire import WorkerPool

        self._pool = WorkerPool(self.width, keep_alive=True)

    def submit(self, function: Function, argument: Any) -> Result:
        return self._pool.apply_async(function, (argument,)).get

    def map(self, function: Function, items: Iterable[Any]) -> list[Any]:
        return list(self._pool.map(function, items, chunk_size=self.chunksize))

    def close(self) -> None:
        self._pool.terminate()


class Pqdm(Peer):
    """pqdm: a pool and a progress bar for each call."""

    name = "pqdm"
    package = "pqdm"
    submits = False
    tunes = ()

    def map(self, function: Function, items: Iterable[Any]) -> list[Any]:
        from pqdm.processes import pqdm

        return pqdm(items, function, n_jobs=self.width or os.cpu_count(), disable=True)


class PqdmThreads(Peer):
    """pqdm with threads."""

    name = "pqdm threads"
    package = "pqdm"
    submits = False
    in_threads = True
    tunes = ("width",)

    def map(self, function: Function, items: Iterable[Any]) -> list[Any]:
        from pqdm.threads import pqdm

        return pqdm(items, function, n_jobs=self.width or os.cpu_count(), disable=True)


class Dask(Peer):
    """Dask's scheduler with a process for each CPU."""

    name = "Dask distributed"
    package = "distributed"
    tunes = ()
    processes: ClassVar[bool] = True

    def start(self) -> None:
        from distributed import Client

        width = self.width or os.cpu_count() or 1
        shape = {"n_workers": width, "threads_per_worker": 1} if self.processes else {"threads_per_worker": width}
        self._pool = Client(processes=self.processes, dashboard_address=None, silence_logs=50, **shape)

    def submit(self, function: Function, argument: Any) -> Result:
        return self._pool.submit(function, argument, pure=False).result

    def map(self, function: Function, items: Iterable[Any]) -> list[Any]:
        return self._pool.gather(self._pool.map(function, items, pure=False))

    def close(self) -> None:
        self._pool.shutdown()
        self._pool.close()


class DaskThreads(Dask):
    """Dask's scheduler with threads."""

    name = "Dask threads"
    in_threads = True
    processes = False
    tunes = ("width",)


class Ray(Peer):
    """Ray's tasks; tuned, its pool, which sends chunks."""

    name = "Ray"
    package = "ray"
    tunes = ("chunksize",)

    def start(self) -> None:
        import ray

        width = self.width or os.cpu_count()
        ray.init(num_cpus=width, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        self._remote: dict[Function, Any] = {}
        self._pool = None
        if self.chunksize is not None:
            from ray.util.multiprocessing import Pool

            self._pool = Pool(width)

    def _function(self, function: Function) -> Any:
        import ray

        if function not in self._remote:
            self._remote[function] = ray.remote(function)
        return self._remote[function]

    def submit(self, function: Function, argument: Any) -> Result:
        import ray

        reference = self._function(function).remote(argument)
        return lambda: ray.get(reference)

    def map(self, function: Function, items: Iterable[Any]) -> list[Any]:
        import ray

        if self._pool is not None:
            return self._pool.map(function, items, chunksize=self.chunksize)
        remote = self._function(function).remote
        return ray.get([remote(item) for item in items])

    def close(self) -> None:
        import ray

        ray.shutdown()


PEERS: tuple[type[Peer], ...] = (
    Loop,
    Ours,
    OursThreads,
    OursProcesses,
    Threads,
    Processes,
    Pool,
    Loky,
    Joblib,
    JoblibThreads,
    Pebble,
    Mpire,
    Pqdm,
    PqdmThreads,
    Dask,
    DaskThreads,
    Ray,
)


def missing(package: str | None) -> str | None:
    """Return why what needs this package cannot take part, or None."""
    if package is None or importlib.util.find_spec(package) is not None:
        return None
    return f"{package} is not installed: pip install 'parallel-deco[bench]'"
