"""How long is it from the start of an interpreter to the results of two tasks in two processes?"""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from ..contest import Entry, Group, Limit
from ..peers import missing

__all__ = ["GROUPS"]

#: Programs by contender: the package that each needs, and its lines up to two results.
PROGRAMS: dict[str, tuple[str | None, str]] = {
    "parallel_deco": (
        None,
        "from parallel_deco import parallel\n"
        "f = parallel(abs, backend='processes', max_workers=2)\n"
        "[task.result() for task in [f.submit(-1), f.submit(-2)]]",
    ),
    "ProcessPoolExecutor, forkserver": (
        None,
        "import multiprocessing\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "pool = ProcessPoolExecutor(2, multiprocessing.get_context('forkserver'))\n"
        "[task.result() for task in [pool.submit(abs, -1), pool.submit(abs, -2)]]",
    ),
    "ProcessPoolExecutor, spawn": (
        None,
        "import multiprocessing\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "pool = ProcessPoolExecutor(2, multiprocessing.get_context('spawn'))\n"
        "[task.result() for task in [pool.submit(abs, -1), pool.submit(abs, -2)]]",
    ),
    "ProcessPoolExecutor, fork": (
        None,
        "import multiprocessing\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "pool = ProcessPoolExecutor(2, multiprocessing.get_context('fork'))\n"
        "[task.result() for task in [pool.submit(abs, -1), pool.submit(abs, -2)]]",
    ),
    "multiprocessing.Pool, fork": (
        None,
        "import multiprocessing\npool = multiprocessing.get_context('fork').Pool(2)\n"
        "[task.get() for task in [pool.apply_async(abs, (-1,)), pool.apply_async(abs, (-2,))]]",
    ),
    "loky": (
        "loky",
        "from loky import get_reusable_executor\npool = get_reusable_executor(2)\n"
        "[task.result() for task in [pool.submit(abs, -1), pool.submit(abs, -2)]]",
    ),
    "joblib": (
        "joblib",
        "from joblib import Parallel, delayed\nParallel(2)(delayed(abs)(x) for x in (-1, -2))",
    ),
    "pebble": (
        "pebble",
        "from pebble import ProcessPool\npool = ProcessPool(2)\n"
        "[task.result() for task in [pool.schedule(abs, args=(-1,)), pool.schedule(abs, args=(-2,))]]",
    ),
    "mpire": (
        "mpire",
        "from mpire import WorkerPool\npool = WorkerPool(2)\n"
        "[task.get() for task in [pool.apply_async(abs, (-1,)), pool.apply_async(abs, (-2,))]]",
    ),
    "Dask distributed": (
        "distributed",
        "from distributed import Client\n"
        "pool = Client(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50)\n"
        "[task.result() for task in [pool.submit(abs, -1), pool.submit(abs, -2)]]",
    ),
    "Ray": (
        "ray",
        "import ray\nray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level='ERROR')\n"
        "remote = ray.remote(lambda x: -x)\nray.get([remote.remote(-1), remote.remote(-2)])",
    ),
    "nothing": (None, "pass"),
}


@contextlib.contextmanager
def started(lines: str) -> Iterator[Callable[[], Any]]:
    """Run a program until its results are there; what it leaves running is killed."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "cold.py")
        with open(path, "w") as file:
            file.write("if __name__ == '__main__':\n" + "".join(f"    {line}\n" for line in lines.splitlines()))
            file.write("    import os\n    os._exit(7)\n")

        def run() -> None:
            program = subprocess.Popen([sys.executable, path], start_new_session=True, stderr=subprocess.DEVNULL)
            status = program.wait()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            if status != 7:
                raise AssertionError(f"the program ended with status {status} instead of its results")

        run()  # the bytecode is cached, and the files are in memory
        yield run


def entry(name: str) -> Entry:
    """Return the entry of a program."""
    package, lines = PROGRAMS[name]
    return Entry(name, functools.partial(started, lines), missing(package))


GROUPS = [
    Group(
        "cold",
        "How long is it from the start of an interpreter to the results of two tasks in two processes?",
        [entry(name) for name in PROGRAMS if name != "nothing"],
        limit=Limit("an interpreter that starts and ends", lambda medians: medians.get("nothing")),
        measured=[entry("nothing")],
        notes="Imports included. What is set is a width of two workers, and how they start.",
    )
]
