"""What all tests share: the backends, deadlines, scripts, an importable module, and a count of what is left behind."""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import hypothesis
import pytest

import parallel_deco

BACKENDS = ("auto", "serial", "threads", "processes")
#: Where the package is imported from: scripts import the same one, built in place or installed.
ROOT = str(Path(parallel_deco.__file__).resolve().parent.parent)
# At the end, behind the installed package: workers import the classes of the test modules from here, as `tests.…`.
sys.path.append(str(Path(__file__).resolve().parent.parent))
#: Seconds after which something counts as hanging; nothing is ever asserted to be quicker.
DEADLINE = 30.0

hypothesis.settings.register_profile("busy machines", deadline=None)
hypothesis.settings.load_profile("busy machines")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started with `&` or by cron: the scripts would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)

FUNCTIONS = '''
"""Functions that a worker process can import by name."""

import contextvars
import functools
import os
import sys
import threading
import time

from parallel_deco import parallel


def double(x):
    return 2 * x


def add(a, b=10):
    return a + b


def fails_on(x, bad):
    if x == bad:
        raise ValueError(f"no {x}")
    return x


def fails_on_odd(x):
    if x % 2:
        raise ValueError(x)
    return x


def fails_on_seven(x):
    if x == 7:
        raise ValueError("seven")
    return x


def place(_=None):
    return os.getpid(), threading.get_ident()


def note(path, x):
    """Leave a mark that another process can count."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{x}\\n".encode())
    os.close(descriptor)
    return x


def wait_for(path):
    """Wait for a file to appear."""
    while not os.path.exists(path):
        time.sleep(0.001)
    return path


def touch_and_wait(started, path):
    open(started, "w").close()
    return wait_for(path)


def nap(x):
    time.sleep(x)
    return x


def touch_or_double(x):
    """Double a number; given a path, make the file and never end."""
    if isinstance(x, str):
        open(x, "w").close()
        time.sleep(3600)
    return 2 * x


class TwoArguments(Exception):
    """Pickles, but cannot be unpickled."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


COUNT = contextvars.ContextVar("COUNT", default=0)


def place_in_batch(_):
    """Say how many items ran before in the same context: 0 for the first of a batch."""
    count = COUNT.get()
    COUNT.set(count + 1)
    return count


def raise_two_arguments(x):
    raise TwoArguments(x, "more")


def exit_on_three(x):
    if x == 3:
        os._exit(7)
    return x


def leave_on_three(x):
    if x == 3:
        sys.exit(5)
    return x


def lock_on_three(x):
    return threading.Lock() if x == 3 else x


@parallel
def decorated(x):
    """A function whose name leads to the decorated object."""
    return x + 1


@parallel
def factorial(n):
    """A function that maps itself."""
    return 1 if n <= 1 else n * next(factorial.map([n - 1]))


@parallel
def count_down(n):
    """A function that submits itself."""
    return 0 if n <= 0 else 1 + count_down.submit(n - 1).result()


@parallel
@functools.lru_cache
def cached(x):
    """A decorated object that only its name can bring elsewhere."""
    return x * x


class Scaler:
    """A class with decorated methods of each kind."""

    factor = 3

    def __init__(self, offset):
        self.offset = offset

    @parallel
    def scale(self, x):
        """Scale and shift."""
        return self.factor * x + self.offset

    @parallel
    @classmethod
    def grow(cls, x):
        return cls.factor * x

    @parallel
    @staticmethod
    def shrink(x):
        return x // 2


class WideScaler(Scaler):
    factor = 5
'''


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Every way of running, one after the other."""
    return request.param


@pytest.fixture(params=BACKENDS[2:])
def elsewhere(request):
    """The backends that never run on the caller."""
    return request.param


@pytest.fixture(scope="session")
def kept():
    """Have this thread open what it keeps for its life: its scheduler statistics, read by whatever is measured."""
    parallel_deco.measure(int)


@pytest.fixture(scope="module", autouse=True)
def nothing_left_by_module(kept):
    """Assert that the tests of a module leave nothing behind; they share their workers, as parts of a program do."""
    with _nothing_left():
        yield


@pytest.fixture
def nothing_left(kept):
    """Assert that a test leaves nothing behind; it starts without workers."""
    parallel_deco.shutdown()
    with _nothing_left():
        yield


@contextlib.contextmanager
def _nothing_left():
    """Count threads, child processes, descriptors and shared segments before and after; all workers end in between."""
    before, segments = _inventory(), _segments()
    yield
    parallel_deco.shutdown()
    assert _inventory() == before
    assert _left_of(_segments() - segments) == []


def _inventory():
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "children": sorted(_children(os.getpid())),
        "descriptors": sorted(_descriptors()),
    }


def _segments():
    """Return the names in shared memory, without those that only another program can have left there, being killed."""
    names = os.listdir("/dev/shm") if os.path.isdir("/dev/shm") else []
    return {name for name in names if not name.startswith(("joblib_", "sem.loky-"))}


def _left_of(segments):
    """Return those that are nobody's, and stay so: other programs make theirs, and let go of them, at any time."""
    end = time.monotonic() + 2
    while (left := [name for name in segments if not _is_anothers(name)]) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def _is_anothers(segment):
    """Whether a program beside this one holds a shared segment, or has just let go of it."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):  # it has just ended, or is not for us to see
            if maps.parent.name != str(os.getpid()) and f"/dev/shm/{segment}\n" in maps.read_text():
                return True
    return not os.path.exists(f"/dev/shm/{segment}")


def _children(parent):
    """Return the processes that a process has started, zombies included."""
    found = []
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            found += map(int, task.read_text().split())
    return found


def _descriptors():
    """Return what the open descriptors lead to."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:  # the one that listed the folder
            continue
    return [target.partition(":")[0] for target in found]


@pytest.fixture(scope="session")
def functions(tmp_path_factory):
    """A module of functions that worker processes can import by name."""
    folder = tmp_path_factory.mktemp("importable")
    (folder / "pd_test_functions.py").write_text(FUNCTIONS)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("pd_test_functions")
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def until():
    """Wait for a condition that somebody else brings about."""

    def wait(condition):
        deadline = time.monotonic() + DEADLINE
        while not (value := condition()):
            assert time.monotonic() < deadline, "it never came about"
            time.sleep(0.001)
        return value

    return wait


@pytest.fixture
def script_environment(functions):
    """The environment in which programs find the package and the importable functions."""
    path = [ROOT, str(Path(functions.__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    for name in ("PARALLEL_DECO_BACKEND", "PARALLEL_DECO_MAX_WORKERS"):
        environment.pop(name, None)
    return environment


@pytest.fixture
def start_program(script_environment, tmp_path):
    """Start a Python program from its source, in a process group of its own; it is ended with the test."""
    started = []

    def start(source, *arguments, **options):
        path = tmp_path / f"program{len(started)}.py"
        path.write_text(textwrap.dedent(source))
        process = subprocess.Popen(
            [sys.executable, str(path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**script_environment, **options.pop("environment", {})},
            start_new_session=True,
            cwd=tmp_path,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run_program(start_program):
    """Run a Python program to its end, and return its exit status, output and errors."""

    def run(source, *arguments, **options):
        process = start_program(source, *arguments, **options)
        out, err = process.communicate(timeout=DEADLINE)
        return process.returncode, out, err

    return run
