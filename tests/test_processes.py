"""Batches in worker processes: outcomes, deaths, life cycle."""

import collections
import contextvars
import dataclasses
import errno
import functools
import gc
import importlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref
from concurrent.futures import BrokenExecutor
from pathlib import Path

import cloudpickle
import pytest

import parallel_deco
from parallel_deco._cpus import available_cpus, gil_enabled
from parallel_deco._died import WorkerDied
from parallel_deco._errors import ItemTimeoutError, NotPicklableError, RemoteError, RemoteTraceback
from parallel_deco.backends import crew, deaths, launch, processes, slot
from parallel_deco.backends import link as link_module
from parallel_deco.backends.batch import Batch, Shape
from parallel_deco.backends.connection import Connection
from parallel_deco.backends.link import Link
from parallel_deco.backends.processes import ProcessBackend

pytestmark = [
    pytest.mark.skipif(ProcessBackend().unavailable is not None, reason="no worker processes here"),
    pytest.mark.usefixtures("nothing_left"),
]

ROOT = str(Path(parallel_deco.__file__).resolve().parent.parent)
DEADLINE = 30

WORK = """
import contextvars, functools, logging, os, signal, subprocess, sys, threading, time, warnings
from contextlib import contextmanager

import parallel_deco.backends.payload

VARIABLE = contextvars.ContextVar("VARIABLE", default="default")
SEEN = []

def double(x):
    return 2 * x

def add(a, b=10):
    return a + b

def odd_fails(x):
    if x % 2:
        raise ValueError(x)
    return x

class TwoArguments(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")

def raise_two_arguments(x):
    raise TwoArguments(x, x)

def raise_its_own(x):
    raise type("Own", (Exception,), {"lock": threading.Lock()})(x)

class Unloadable:
    def __reduce__(self):
        return int, ("not a number",)

def pid(_=None):
    return os.getpid()

def do(what):
    if what == "exit":
        os._exit(7)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "segfault":
        import ctypes
        ctypes.string_at(0)
    if what == "sys.exit":
        sys.exit(5)
    if what == "interrupt":
        raise KeyboardInterrupt
    if what == "lock":
        return threading.Lock()
    if what == "nested lock":
        return {"deep": [threading.Lock()]}
    if what == "unloadable":
        return Unloadable()
    if what == "fork":
        if os.fork() == 0:
            os._exit(0)
        os.wait()
    return what

def note(path, x):
    with open(path, "a") as file:
        file.write(f"{x}\\n")
    if x == "exit":
        os._exit(3)
    return x

def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.001)
    return path

def leave_a_thread(_):
    threading.Thread(target=threading.Event().wait).start()
    return os.getpid()

def say_in_parts(text):
    print(text, end="")

def touch_and_wait(started, path):
    open(started, "w").close()
    return wait_for(path)

def variable(_):
    return VARIABLE.get()

def log(x):
    logging.getLogger("work.inner").warning("warned of %s", x)
    logging.getLogger("work.inner").debug("not wanted")
    return x

def warn(x):
    warnings.warn("careful", UserWarning, stacklevel=1)
    return x

def say(x):
    print("said", x)
    return x

def surroundings(name):
    return os.getcwd(), os.environ.get(name), sys.path[0]

def environment(name):
    return os.environ.get(name)

def arguments(_):
    return sys.argv

def handling(number):
    code = f"import signal; print(int(signal.getsignal({number}) is signal.default_int_handler))"
    own = signal.getsignal(number)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    inner = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    return number in mask, own is signal.SIG_IGN, int(inner.stdout)

def set_global(x):
    SEEN.append(x)
    return len(SEEN)

class One:
    @staticmethod
    def name():
        return "one"
    def method(self, x):
        return "one", x

class Two:
    @staticmethod
    def name():
        return "two"

def hidden(function):
    @functools.wraps(function)
    def wrapper(*args):
        raise AssertionError("the wrapper ran")
    return wrapper

@hidden
def decorated(x):
    return x + 1
"""


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    """A module of functions that workers can import."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "work_module.py").write_text(WORK)
    sys.path.insert(0, str(folder))
    import work_module

    yield work_module
    sys.path.remove(str(folder))


@pytest.fixture
def backend():
    """A pool of its own, which leaves no thread, child or descriptor behind."""
    before = threads_and_descriptors()
    pool = ProcessBackend()
    yield pool
    pool.shutdown(kill=True)
    assert threads_and_descriptors() == before
    assert children() == []


def threads_and_descriptors():
    """The pool's threads and descriptors in this process."""
    threads = sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("parallel_deco"))
    links = [os.readlink(f"/proc/self/fd/{name}") for name in open_descriptors()]
    return threads, sorted(link for link in links if "socket" in link or "memfd" in link)


def open_descriptors():
    """Names of the descriptors that are open."""
    return [name for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")]


def children():
    """Children of this process that are templates, or zombies of them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, rest = stat.read_text().partition(" ")
            parent = rest.rpartition(")")[2].split()[1]
            command = Path(f"/proc/{pid}/cmdline").read_text()
        except (OSError, IndexError):
            continue
        if int(parent) == os.getpid() and "parallel_deco" in command:
            found.append(int(pid))
    return found


class Call:
    """A batch that was started, and its result."""

    def __init__(self, backend, batch, **options):
        self._result = None
        self._arrived = threading.Event()
        self.calls = 0
        self.ticket = backend.start(batch, self._done, **options)

    def _done(self, result):
        self.calls += 1
        self._result = result
        self._arrived.set()

    def result(self):
        assert self._arrived.wait(DEADLINE), "no result came"
        return self._result


def run(backend, function, items, **fields):
    """Start a batch and wait for its result."""
    return Call(backend, Batch(function, items, **fields)).result()


def until(condition):
    """Wait for a condition that another process brings about."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.001)


def script(code, *args, **options):
    """Run a program that has no tests around it."""
    environment = {**os.environ, "PYTHONPATH": ROOT}
    options.setdefault("cwd", Path(ROOT).anchor)  # not the source tree, which -c would import from
    return subprocess.run(
        [sys.executable, *args, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=environment,
        check=False,
        **options,
    )


# What comes back.


def test_values_come_in_order_when_a_batch_runs(backend, work):
    """The values are the function's, in the order of the items."""
    assert run(backend, work.double, range(5)).values == [0, 2, 4, 6, 8]


def test_shapes_become_calls_when_items_are_arguments(backend, work):
    """Items are one argument, a tuple of them, or a tuple and a dictionary."""
    star = run(backend, work.add, [(1, 2), (3,)], shape=Shape.STAR)
    call = run(backend, work.add, [((1,), {"b": 5})], shape=Shape.CALL)
    assert star.values + call.values == [3, 13, 6]


def test_function_runs_elsewhere_when_a_worker_takes_it(backend, work):
    """The function runs in another process."""
    assert run(backend, work.pid, [None]).values != [os.getpid()]


def test_errors_have_positions_when_the_batch_keeps_going(backend, work):
    """Each failing item has its own error, and the others their values."""
    result = run(backend, work.odd_fails, range(4), keep_going=True)
    assert result.values == [0, None, 2, None]
    assert {position: error.args for position, error in result.errors.items()} == {1: (1,), 3: (3,)}


def test_batch_ends_at_the_error_when_it_does_not_keep_going(backend, work):
    """Without keep_going the failing item is the last."""
    result = run(backend, work.odd_fails, range(4))
    assert (result.values, list(result.errors)) == ([0, None], [1])


def test_cause_is_the_remote_traceback_when_an_item_raises(backend, work):
    """The exception is the user's own, and shows where in the worker it was raised."""
    error = run(backend, work.odd_fails, [1]).errors[0]
    assert type(error) is ValueError
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "in odd_fails" in str(error.__cause__)


def test_error_is_itself_when_its_init_wants_other_arguments(backend, work):
    """An exception that pickles but does not unpickle is made again without its `__init__`."""
    error = run(backend, work.raise_two_arguments, [1]).errors[0]
    assert (type(error), str(error)) == (work.TwoArguments, "1 and 1")


def test_error_has_the_text_when_its_class_cannot_travel(backend, work):
    """It is a RemoteError then, and the worker lives on."""
    error = run(backend, work.raise_its_own, [1]).errors[0]
    assert isinstance(error, RemoteError)
    assert "Own: 1" in str(error)
    assert run(backend, work.double, [1]).values == [2]


@pytest.mark.parametrize(("what", "kind"), [("sys.exit", SystemExit), ("interrupt", KeyboardInterrupt)])
def test_exit_is_an_error_of_its_item_when_a_task_raises_it(backend, work, what, kind):
    """sys.exit and KeyboardInterrupt in a task end that item only."""
    result = run(backend, work.do, ["a", what, "b"], keep_going=True)
    assert result.values == ["a", None, "b"]
    assert type(result.errors[1]) is kind


@pytest.mark.parametrize(
    ("what", "text"), [("lock", "a _thread.lock"), ("nested lock", "key 'deep', element 0: _thread.lock")]
)
def test_result_error_names_the_item_when_it_cannot_be_pickled(backend, work, what, text):
    """A result that cannot come back fails its item, with the item's index and what is wrong in it."""
    result = run(backend, work.do, ["a", what, "b"], keep_going=True, first=40)
    assert result.values == ["a", None, "b"]
    assert isinstance(result.errors[1], NotPicklableError)
    assert "item 41 of do" in str(result.errors[1])
    assert text in str(result.errors[1])


def test_result_error_is_of_its_item_when_it_cannot_be_unpickled(backend, work):
    """A result that pickles but does not unpickle fails its item only."""
    result = run(backend, work.do, ["a", "unloadable", "b"], keep_going=True)
    assert result.values == ["a", None, "b"]
    assert type(result.errors[1]) is NotPicklableError
    assert type(result.errors[1].__cause__) is ValueError


def test_readings_say_what_was_moved_when_a_batch_returns(backend, work):
    """The readings count items and bytes, and the seconds that moving took."""
    readings = run(backend, work.double, ["x" * 1000, "y"]).readings
    assert readings.items == 2
    assert readings.sent > 1000
    assert readings.received > 2000
    assert 0 < readings.moved < DEADLINE


def test_large_bytes_arrive_when_they_exceed_the_socket(backend, work):
    """Arguments and results of many megabytes pass both ways."""
    block = os.urandom(3_000_000)
    assert run(backend, work.double, [block]).values == [block * 2]


def test_arrays_are_writable_when_they_arrive(backend):
    """A large array can be written to in the worker and in the caller, and the caller's own stays as it is."""
    numpy = pytest.importorskip("numpy")

    def fill(array):
        array[:] = 7
        return array

    given = numpy.zeros(100_000)
    (result,) = run(backend, fill, [given]).values
    result += 1
    assert (given.sum(), result.sum(), result.flags.writeable) == (0, 800_000, True)


@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, what other threads let go of is freed later")
def test_memory_is_used_again_when_results_are_dropped(backend):
    """Results that nobody holds are gone at once, without the garbage collector, and their memory is used again."""
    pytest.importorskip("numpy")

    def make(size):
        import numpy

        return numpy.ones(size)

    gc.disable()
    try:
        sums = [run(backend, make, [100_000]).values[0].sum() for _ in range(10)]
    finally:
        gc.enable()
    (link,) = backend._crew
    assert (sums, len(link._connection._inbox._mappings)) == ([100_000.0] * 10, 1)


# How functions travel.


def test_same_name_runs_the_right_one_when_two_classes_share_it(backend, work):
    """Static methods of the same name are told apart."""
    names = [run(backend, function, [()], shape=Shape.STAR).values for function in (work.One.name, work.Two.name)]
    assert names == [["one"], ["two"]]


def test_same_name_runs_the_right_one_when_a_name_was_rebound(backend, work):
    """A function whose name now leads elsewhere goes by value."""
    old = work.double
    work.double = lambda x: -x
    try:
        assert run(backend, old, [4]).values == [8]
    finally:
        work.double = old


def test_wrapped_function_runs_when_its_name_leads_to_a_wrapper(backend, work):
    """A decorated function's bare function is found through `__wrapped__`."""
    assert run(backend, work.decorated.__wrapped__, [1]).values == [2]


def test_bound_method_runs_when_it_is_the_function(backend, work):
    """A bound method takes its object along."""
    assert run(backend, work.One().method, [3]).values == [("one", 3)]


def test_lambda_and_closure_run_when_they_go_by_value(backend):
    """Lambdas, closures and partials of them work, as functions and as arguments."""
    factor = 3
    values = run(backend, functools.partial(lambda a, b: a * b * factor, 2), [1, 2]).values
    applied = run(backend, lambda f: f(2), [lambda x: x + factor]).values
    assert (values, applied) == ([6, 12], [5])


def test_closure_is_sent_again_when_a_cell_changes(backend):
    """A closure behaves as it is at the time of the call."""
    state = 1

    def read(_):
        return state

    first = run(backend, read, [0]).values
    state = 2
    assert first + run(backend, read, [0]).values == [1, 2]


def test_closure_is_sent_again_when_a_list_in_it_changes(backend):
    """Also when what it refers to is the same object, changed."""
    state = [1]

    def read(_):
        return list(state)

    first = run(backend, read, [0]).values
    state.append(2)
    assert first + run(backend, read, [0]).values == [[1], [1, 2]]


def test_large_closure_travels_once_when_nothing_changes(backend):
    """A closure's large data is not sent with each batch."""
    block = bytes(1_000_000)

    def size(x):
        return len(block) + x

    function = backend.prepare(size)
    assert function.size > 1_000_000
    assert backend.prepare(size) is function
    assert [run(backend, size, [x]).values for x in range(2)] == [[1_000_000], [1_000_001]]


def test_function_of_a_test_module_runs_when_no_path_leads_to_it(backend):
    """A module that is not on sys.path is loaded from its file."""
    assert run(backend, module_level, [1]).values == [(1, __name__)]


def module_level(x):
    """A function of this module, which workers cannot import by name."""
    return x, __name__


def test_error_is_the_modules_own_when_it_cannot_be_imported(backend, tmp_path, monkeypatch):
    """A module that fails to import in the worker fails the items, and the worker lives on."""
    (tmp_path / "only_here.py").write_text("import os\nif os.environ.get('BROKEN'): 1/0\ndef f(x): return x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here

    monkeypatch.setenv("BROKEN", "1")
    result = run(backend, only_here.f, [1, 2], keep_going=True)
    assert [type(error) for error in result.errors.values()] == [ZeroDivisionError] * 2
    assert run(backend, len, ["ab"]).values == [2]


@pytest.mark.parametrize(
    ("function", "fields", "where"),
    [
        (
            lambda a, lock: 0,
            {"items": [((1,), {"lock": threading.Lock()})], "shape": Shape.CALL},
            "argument 'lock': _thread.lock",
        ),
        (lambda lock: 0, {"items": [threading.Lock()]}, "argument 'lock': _thread.lock"),
        (lambda *locks: 0, {"items": [(threading.Lock(),)], "shape": Shape.STAR}, "argument 0: _thread.lock"),
        (
            lambda x: 0,
            {"items": [1, {"k": threading.Lock()}], "first": 5},
            "item 6, argument 'x', key 'k': _thread.lock",
        ),
    ],
)
def test_start_names_the_culprit_when_an_argument_cannot_be_pickled(backend, function, fields, where):
    """The error says which argument cannot be pickled, and is raised by start itself."""
    with pytest.raises(NotPicklableError) as caught:
        backend.start(Batch(function, **fields), lambda result: None)
    assert where in str(caught.value)


def test_start_names_the_culprit_when_the_closure_cannot_be_pickled(backend):
    """The error names the variable of the closure."""
    lock = threading.Lock()
    with pytest.raises(NotPicklableError, match=r"closure variable 'lock': _thread\.lock"):
        backend.prepare(lambda x: lock)


def test_start_names_the_culprit_when_the_users_code_raises_meanwhile(backend):
    """Arguments have numbers where the signature cannot be had, and are named together where they cannot be counted."""

    class Unsigned:
        @property
        def __signature__(self):
            raise RuntimeError("a property was asked")

        def __call__(self, x):
            return x

    class Arguments:
        def __reduce__(self):
            raise ValueError("no")

        def __iter__(self):
            raise RuntimeError("an __iter__ was called")

    with pytest.raises(NotPicklableError, match=r"another process: argument 0: _thread\.lock"):
        backend.start(Batch(Unsigned(), [threading.Lock()]), lambda result: None)
    with pytest.raises(NotPicklableError, match="its arguments together"):
        backend.start(Batch(len, [Arguments()], shape=Shape.STAR), lambda result: None)


def test_start_names_the_culprit_when_self_cannot_be_pickled(backend, work):
    """The error names the attribute of a bound method's object."""
    one = work.One()
    one.conn = threading.Lock()
    with pytest.raises(NotPicklableError, match=r"attribute 'conn' of self: _thread\.lock"):
        backend.prepare(one.method)


# What tasks leave.


def test_worker_ends_as_an_interpreter_does_when_it_is_told_to(run_program, tmp_path):
    """Exit functions run, files are written, temporary directories go, and pools of processes end."""
    program = f"""
    import atexit, concurrent.futures, multiprocessing, os, tempfile, threading
    import parallel_deco
    from parallel_deco import parallel
    folder = {str(tmp_path)!r}
    kept = []

    def leave(x):
        file = open(os.path.join(folder, "written"), "w")
        file.write("to the end")
        raw = open(os.path.join(folder, "bytes"), "wb")
        raw.write(b"to the end")
        scratch = tempfile.TemporaryDirectory(dir=folder)
        fork = multiprocessing.get_context("fork")
        pool = concurrent.futures.ProcessPoolExecutor(1, mp_context=fork)
        threads = concurrent.futures.ThreadPoolExecutor(1)
        threads.submit(int).result()
        older = fork.Pool(1)
        kept.extend((file, raw, scratch, pool, threads, older))
        atexit.register(lambda: open(os.path.join(folder, "left"), "w").close())
        atexit.register(print, "bye")
        return [scratch.name, pool.submit(os.getpid).result(), older.apply(os.getpid)]

    scratch, *children = parallel(leave, backend="processes").submit(1).result()
    parallel_deco.shutdown()
    print(os.path.exists(scratch), [os.path.exists(f"/proc/{{child}}") for child in children])
    """
    assert run_program(program) == (0, "bye\nFalse [False, False]\n", "")
    assert [(tmp_path / name).read_text() for name in ("written", "bytes", "left")] == ["to the end", "to the end", ""]


def test_start_is_timed_again_when_the_template_is_new(backend, work):
    """The least counts: what other programs add is not the machine's. Another worker of it says nothing."""
    run(backend, work.double, [1])
    assert (backend.starts, backend.started_in > 0) == (1, True)
    first = backend.started_in
    for call in [Call(backend, Batch(time.sleep, [0.05]), width=2) for _ in range(2)]:
        call.result()
    assert (backend.starts, backend.started_in) == (1, first)
    backend.shutdown()
    run(backend, work.double, [1])
    assert backend.starts == 2
    assert 0 < backend.started_in <= first


def test_worker_is_killed_when_its_exit_function_never_ends(backend, work, tmp_path):
    """The pool's shutdown does not wait for it for ever."""
    begun, never = tmp_path / "begun", tmp_path / "never"

    def leave(x):
        import atexit

        import work_module

        atexit.register(work_module.touch_and_wait, str(begun), str(never))
        return os.getpid()

    (worker,) = run(backend, leave, [1]).values
    backend.shutdown()
    assert (begun.exists(), os.path.exists(f"/proc/{worker}")) == (True, False)


# What goes along.


def test_context_variables_are_the_callers_when_a_batch_runs(backend, work):
    """Variables of modules, and of nowhere, have the caller's values; unpicklable ones are left out."""
    local = contextvars.ContextVar("local")
    unpicklable = contextvars.ContextVar("unpicklable", default=None)
    work.VARIABLE.set("mine")
    local.set("too")
    unpicklable.set(threading.Lock())
    context = contextvars.copy_context()
    inside = run(backend, lambda _: (local.get(), unpicklable.get()), [0], context=context).values
    assert run(backend, work.variable, [0], context=context).values + inside == ["mine", ("too", None)]
    assert run(backend, work.variable, [0]).values == ["default"]


def test_log_records_reach_the_callers_loggers_when_a_worker_logs(backend, work, caplog):
    """A record made in a worker is handled by the caller's logger of the same name, if its level wants it."""
    with caplog.at_level(logging.INFO):
        run(backend, work.log, [1])
    assert [(record.name, record.getMessage()) for record in caplog.records] == [("work.inner", "warned of 1")]


def test_warnings_reach_the_callers_filters_when_a_worker_warns(backend, work):
    """A warning given in a worker is given again in the caller."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(backend, work.warn, [1])
    assert [(str(warning.message), warning.category) for warning in caught] == [("careful", UserWarning)]


def test_warning_is_the_items_error_when_the_filter_says_so(backend, work):
    """The caller's filters are the worker's: "error" raises in the function."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = run(backend, work.warn, [1])
    assert type(result.errors[0]) is UserWarning


def test_print_reaches_the_callers_stream_when_it_was_replaced(backend, work, capsys):
    """What a worker prints is written to the caller's sys.stdout."""
    run(backend, work.say, [1, 2])
    assert capsys.readouterr().out == "said 1\nsaid 2\n"


def test_part_of_a_line_is_kept_when_the_surroundings_change(backend, work, capsys, monkeypatch):
    """It is shipped with its end."""
    run(backend, work.say_in_parts, ["abc"])
    monkeypatch.setenv("PARALLEL_DECO_TEST", "new")
    run(backend, work.say_in_parts, ["d\n"])
    assert capsys.readouterr().out == "abcd\n"


def test_print_is_whole_lines_when_stdout_is_inherited():
    """Workers write to the program's own stdout, line by line."""
    done = script(
        """
        import threading
        from parallel_deco.backends.processes import ProcessBackend
        from parallel_deco.backends.batch import Batch
        def say(x):
            for _ in range(100):
                print("line", x, "end")
        backend, arrived = ProcessBackend(), threading.Semaphore(0)
        for x in range(4):
            backend.start(Batch(say, [x]), lambda result: arrived.release(), width=2)
        for x in range(4):
            assert arrived.acquire(timeout=20)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted(f"line {x} end" for x in range(4) for _ in range(100))


def test_surroundings_are_the_callers_when_they_change(backend, work, monkeypatch, tmp_path):
    """Workers see the directory, environment and sys.path as they are when the work is sent."""
    run(backend, work.double, [1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARALLEL_DECO_TEST", "new")
    monkeypatch.syspath_prepend("/new")
    assert run(backend, work.surroundings, ["PARALLEL_DECO_TEST"]).values == [(str(tmp_path), "new", "/new")]


@pytest.mark.parametrize("kind", [list, tuple, collections.deque])
def test_arguments_of_the_program_are_sent_once_when_they_are_of_any_kind(backend, work, monkeypatch, kind):
    """What is changed in place is noticed, and what is the same is not sent again."""
    monkeypatch.setattr(sys, "argv", kind(["program", "one"]))
    assert run(backend, work.arguments, [0]).values == [kind(["program", "one"])]
    version = backend._surroundings.version
    assert run(backend, work.arguments, [0, 0]).values == 2 * [kind(["program", "one"])]
    assert backend._surroundings.version == version
    if kind is not tuple:
        sys.argv.append("two")
        assert run(backend, work.arguments, [0]).values == [kind(["program", "one", "two"])]


def test_blas_has_one_thread_when_the_user_set_none(backend, work, monkeypatch):
    """Workers limit BLAS and OpenMP to one thread, unless the user asked for a number."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    assert run(backend, work.environment, ["OMP_NUM_THREADS", "MKL_NUM_THREADS"]).values == ["1", "3"]


def test_worker_knows_that_it_is_one_when_a_task_asks(backend):
    """Nested use can tell that its cores are spoken for, and how deep it is."""

    def place(_):
        from parallel_deco import _nesting

        return _nesting.in_worker_process(), _nesting.depth()

    assert run(backend, place, [0], depth=2).values == [(True, 2)]


def test_nested_pool_works_when_a_task_makes_one(backend):
    """A task can use worker processes of its own."""

    def outer(x):
        import threading

        from parallel_deco.backends.batch import Batch
        from parallel_deco.backends.processes import ProcessBackend

        inner, results, arrived = ProcessBackend(), [], threading.Event()
        inner.start(Batch(abs, [x]), lambda result: (results.append(result), arrived.set()))
        assert arrived.wait(20)
        inner.shutdown()
        return results[0].values

    assert run(backend, outer, [-1]).values == [[1]]


# Deaths.


@pytest.mark.parametrize(
    ("what", "code", "text"), [("exit", 7, "exit code 7"), ("kill", -9, "SIGKILL"), ("segfault", -11, "SIGSEGV")]
)
def test_death_fails_only_its_item_when_a_worker_dies(backend, work, what, code, text):
    """The item that killed the worker has the error; its neighbours, before and behind, have their values."""
    result = run(backend, work.do, ["a", "b", what, "c"], keep_going=True, first=10)
    assert result.values == ["a", "b", None, "c"]
    (error,) = result.errors.values()
    assert isinstance(error, WorkerDied)
    assert isinstance(error, BrokenExecutor)
    assert error.exitcode == code
    assert "item 12 of do" in str(error)
    assert text in str(error)
    assert run(backend, work.double, [1]).values == [2]


@pytest.mark.parametrize("number", sorted(signal.valid_signals()))
def test_signal_has_its_name_when_it_ended_a_worker(number):
    """That of the standard library, whose enumeration takes long to import; real-time signals may have none."""
    name = signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
    assert deaths._how(-number) == f"was ended by {name}"


def test_death_shows_where_it_crashed_when_the_fault_handler_wrote(backend, work):
    """The error of a segmentation fault shows the worker's Python frames."""
    error = run(backend, work.do, ["segfault"]).errors[0]
    assert "Segmentation fault" in str(error)
    assert "in do" in str(error)


def test_batch_ends_at_the_death_when_it_does_not_keep_going(backend, work):
    """Without keep_going nothing behind the culprit runs, but what is before it has its outcome."""
    result = run(backend, work.do, ["a", "exit", "b"])
    assert (result.values, list(result.errors)) == (["a", None], [1])


def test_culprit_runs_once_when_its_worker_dies(backend, work, tmp_path):
    """An item that killed a worker is not tried again."""
    path = tmp_path / "noted"
    run(backend, functools.partial(work.note, str(path)), ["a", "exit", "b"], keep_going=True)
    assert path.read_text().split().count("exit") == 1
    assert path.read_text().split().count("b") == 1


def test_other_batches_are_untouched_when_a_worker_dies(backend, work):
    """Batches that wait, or were sent ahead, get their results."""
    calls = [
        Call(backend, Batch(work.do, ["exit" if index % 5 == 2 else index]), width=2, ahead=True) for index in range(40)
    ]
    results = [call.result() for call in calls]
    assert [result.values for result in results] == [[None] if index % 5 == 2 else [index] for index in range(40)]
    assert [call.calls for call in calls] == [1] * 40


def test_reported_items_run_once_when_a_later_one_dies(backend, tmp_path):
    """Results that were sent before a worker died are kept: those items do not run again."""
    path = str(tmp_path / "noted")

    def slow(x):
        import os
        import time

        with open(path, "a") as file:
            file.write(f"{x}\n")
        time.sleep(0.03)
        if x == 3:
            os._exit(1)
        return x

    result = run(backend, slow, range(5), keep_going=True)
    assert result.values == [0, 1, 2, None, 4]
    noted = Path(path).read_text().split()
    assert (noted.count("0"), noted.count("1")) == (1, 1)


def test_idle_worker_is_replaced_when_it_is_killed(backend, work):
    """A worker that died between two batches is no batch's business."""
    (pid,) = run(backend, work.pid, [0]).values
    os.kill(pid, signal.SIGKILL)
    (other,) = run(backend, work.pid, [0]).values
    assert other not in (pid, None)


def test_task_may_fork_when_it_waits_for_its_child(backend, work):
    """A child of a task does not disturb the worker's socket."""
    assert run(backend, work.do, ["fork", "a"]).values == ["fork", "a"]


def test_template_is_replaced_when_it_is_killed(backend, work):
    """Without its template the pool starts another one."""
    run(backend, work.double, [1])
    nursery = backend._crew._nursery
    os.kill(nursery.pid, signal.SIGKILL)
    until(lambda: nursery.closed and not backend.width)
    assert run(backend, work.double, [2]).values == [4]


# Calling off.


def test_cancel_drops_the_batch_when_it_waits(backend, work, tmp_path):
    """A batch in the queue is called off, and never delivered."""
    gate = tmp_path / "gate"
    first = Call(backend, Batch(work.wait_for, [str(gate)]), width=1)
    second = Call(backend, Batch(work.double, [1]), width=1)
    assert second.ticket.cancel() is True
    gate.touch()
    assert first.result().values == [str(gate)]
    assert (first.ticket.cancel(), second.calls) == (False, 0)


def test_cancel_kills_when_asked_to_and_the_batch_runs(backend, work, tmp_path):
    """A running batch is left alone without kill, and ended with it; the pool lives on."""
    started, gate = tmp_path / "started", tmp_path / "gate"
    call = Call(backend, Batch(work.touch_and_wait, [(str(started), str(gate))], shape=Shape.STAR), width=1)
    until(started.exists)
    assert call.ticket.cancel() is False
    assert call.ticket.cancel(kill=True) is True
    assert run(backend, work.double, [1]).values == [2]
    assert call.calls == 0


# Life cycle.


@pytest.mark.parametrize(
    ("options", "expected"),
    [("", min(2, available_cpus())), ("max_workers=1", 1), ("max_workers=3", 2)],
)
def test_first_workers_start_while_the_rest_is_loaded_when_processes_are_asked_for(options, expected):
    """A first call finds one that is as good as ready, and a second call another; no more than are allowed."""
    code = f"""
        from parallel_deco import parallel
        function = parallel(abs, backend="processes", {options})
        assert function.submit(-1).result() == 1
        from parallel_deco.backends import pools
        print(pools.processes().width)
    """
    done = script(code)
    assert (done.stdout, done.returncode) == (f"{expected}\n", 0), done.stderr


def test_workers_are_started_when_the_pool_is_warmed(backend):
    """warm returns at once, and the workers come in the background."""
    backend.warm(2)
    until(lambda: backend.workers == 2 and backend.idle == 2)
    assert backend.width == 2


def test_workers_are_as_many_as_asked_for_when_there_were_more_before(backend, work, monkeypatch):
    """What was asked for once is not asked for again."""
    backend.warm(3)
    until(lambda: backend.idle == 3)
    backend.shutdown()
    backend.warm(1)
    assert backend.width == 1


def test_width_bounds_the_workers_when_many_batches_wait(backend, work):
    """No more workers are started than the batches ask for."""
    calls = [Call(backend, Batch(work.pid, [0]), width=1) for _ in range(10)]
    assert len({call.result().values[0] for call in calls}) == 1


def test_many_threads_share_the_pool_when_they_start_at_once(backend, work):
    """Batches started from many threads all come back right."""
    results, barrier = {}, threading.Barrier(8)

    def submit(number):
        barrier.wait()
        results[number] = [run(backend, work.double, [number * 100 + index]).values[0] for index in range(20)]

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [2 * (number * 100 + index) for index in range(20)] for number in range(8)}


def test_batches_end_first_when_the_pool_is_shut_down(backend, work):
    """shutdown waits for what was started; afterwards the pool starts anew."""
    calls = [Call(backend, Batch(work.double, [index]), width=2, ahead=True) for index in range(20)]
    backend.shutdown()
    assert [call.calls for call in calls] == [1] * 20
    assert run(backend, work.double, [1]).values == [2]


def test_batches_fail_when_the_pool_is_shut_down_with_kill(backend, work, tmp_path):
    """shutdown with kill ends running and waiting batches, and tells them."""
    calls = [Call(backend, Batch(work.wait_for, [str(tmp_path / "never")]), width=1) for _ in range(3)]
    backend.shutdown(kill=True)
    assert [type(call.result().errors[0]) for call in calls] == [WorkerDied] * 3


def test_parent_and_child_both_work_when_the_program_forks():
    """After a fork each has workers of its own."""
    done = script(
        """
        import os, threading
        from parallel_deco.backends.processes import ProcessBackend
        from parallel_deco.backends.batch import Batch
        backend = ProcessBackend()
        def pid(_):
            import os
            return os.getppid()
        def run():
            results, arrived = [], threading.Event()
            backend.start(Batch(pid, [0]), lambda result: (results.append(result), arrived.set()))
            assert arrived.wait(20)
            return results[0].values[0]
        before = run()
        child = os.fork()
        if child == 0:
            os._exit(0 if run() != before else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert run() == before
        print("both")
        """,
        "-Wignore::DeprecationWarning",  # of fork in a program with threads, from 3.12 on
    )
    assert (done.stdout, done.stderr) == ("both\n", "")


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)", "os._exit(0)", "raise KeyboardInterrupt"])
def test_workers_end_when_the_program_ends(end):
    """However the program ends, also in the middle of work, its workers and template are gone soon after."""
    done = script(
        f"""
        import os, sys, threading, time
        from parallel_deco.backends.processes import ProcessBackend
        from parallel_deco.backends.batch import Batch
        backend = ProcessBackend()
        def where(_):
            import os
            return os.getpid(), os.getppid()
        def long(_):
            import time
            time.sleep(100)
        results, arrived = [], threading.Event()
        backend.start(Batch(where, [0]), lambda result: (results.append(result), arrived.set()))
        assert arrived.wait(20)
        backend.start(Batch(long, [0]), print)
        print(*results[0].values[0], flush=True)
        {end}
        """
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


SHADOWED = ["collections", "contextlib", "copyreg", "enum", "functools", "keyword", "operator", "re", "struct", "types"]


@pytest.mark.parametrize("flags", [[], ["-P"], ["-I"]])
@pytest.mark.parametrize("where", ["the current directory", "beside the package"])
def test_standard_library_is_its_own_when_modules_of_its_names_lie_about(where, flags, tmp_path):
    """Workers import nothing from the current directory or from beside the package that the program would not."""
    for name in SHADOWED:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nraise SystemExit\n")
    (tmp_path / "parallel_deco").symlink_to(Path(ROOT) / "parallel_deco")
    code = f"""
        import os, sys
        home = {(ROOT if where == "the current directory" else str(tmp_path))!r}
        sys.path.insert(0, home)
        import parallel_deco
        sys.path.remove(home)
        {"" if where == "the current directory" else f"sys.path.append({ROOT!r})"}
        if {where == "the current directory"}:
            os.chdir({str(tmp_path)!r})
        if sys.path[0] == "":
            del sys.path[0]
        parallel = parallel_deco.parallel
        print(list(parallel(lambda x: x + 1, backend="processes").map(range(3))))
    """
    done = script(code, *flags)
    assert (done.stdout, done.stderr, (tmp_path / "ran").exists()) == ("[1, 2, 3]\n", "", False)


@pytest.mark.parametrize("flags", [[], ["-i"], ["-S"], ["-I", "-S"], ["-O"], ["-X", "dev"]])
def test_functions_of_main_run_when_the_program_is_a_string(flags, tmp_path):
    """python -c works without a guard, with the interpreter's flags handed on."""
    (tmp_path / "empty").touch()
    code = f"""
        import sys
        sys.path.insert(0, {ROOT!r})
        sys.path += {[path for path in sys.path if "site-packages" in path]!r}
        import threading
        from parallel_deco.backends.processes import ProcessBackend
        from parallel_deco.backends.batch import Batch
        backend, results, arrived = ProcessBackend(), [], threading.Event()
        class Thing:
            def __init__(self, x): self.x = x
        def f(x): return Thing(x.x + 1), __debug__
        backend.start(Batch(f, [Thing(1)]), lambda result: (results.append(result), arrived.set()))
        if not arrived.wait(20): raise SystemExit("nothing arrived")
        thing, debug = results[0].values[0]
        print(type(thing) is Thing, thing.x, debug == __debug__)
        """
    with (tmp_path / "empty").open() as empty:
        done = script(code, *flags, stdin=empty)
    assert done.stdout.split() == ["True", "2", "True"], done.stderr


def test_nothing_starts_when_the_module_is_imported():
    """Importing starts no thread or process, and loads neither multiprocessing nor numpy nor cloudpickle."""
    done = script(
        """
        import sys, threading, os
        import parallel_deco.backends.processes as processes
        backend = processes.ProcessBackend()
        print(threading.active_count(), {"multiprocessing", "numpy", "cloudpickle"} & set(sys.modules))
        """
    )
    assert (done.stdout, done.stderr) == ("1 set()\n", "")


# Time limits.


def test_timeout_fails_only_its_item_when_it_hangs(backend, work, tmp_path):
    """The worker is killed at the deadline; the item says so, and its neighbours have their values."""
    never = str(tmp_path / "never")
    wait = functools.partial(work.wait_for, never)

    def either(x):
        return wait() if x == "hang" else x

    result = run(backend, either, ["a", "hang", "b", "hang", "c"], keep_going=True, first=5, timeout=0.5)
    assert result.values == ["a", None, "b", None, "c"]
    assert [type(error) for error in result.errors.values()] == [ItemTimeoutError] * 2
    assert "item 6 of" in str(result.errors[1])


def test_timeout_is_per_item_when_the_batch_takes_longer(backend, work):
    """A batch may take longer than the timeout of its items."""
    result = run(backend, time.sleep, [0.3] * 4, keep_going=True, timeout=1.0)
    assert result.errors == {}


class Stuck:
    """Never comes out of its pickle."""

    def __reduce__(self):
        return time.sleep, (1000,)


@pytest.fixture
def impatient(monkeypatch):
    """A worker may not take long to unpickle and to pickle."""
    monkeypatch.setattr(deaths, "PICKLING", 0.5)


def test_timeout_holds_when_an_argument_cannot_be_unpickled(backend, impatient):
    """It alone fails, although a worker unpickles all items of a batch before the first runs."""
    result = run(backend, type, [1, Stuck(), 2], keep_going=True, timeout=0.1)
    assert (result.values[0], result.values[2]) == (int, int)
    assert type(result.errors.pop(1)) is ItemTimeoutError
    assert not result.errors


def test_timeout_holds_when_a_result_cannot_be_pickled(backend, impatient):
    """As above, on the way back."""

    class Endless:
        def __reduce__(self):
            time.sleep(1000)

    result = run(backend, lambda x: Endless() if x == 1 else x, [0, 1, 2], keep_going=True, timeout=0.5)
    assert result.values == [0, None, 2]
    assert type(result.errors.pop(1)) is ItemTimeoutError
    assert not result.errors


class Slow:
    """Takes longer to unpickle than its item may take to run, as the first of its library may."""

    def __reduce__(self):
        return time.sleep, (0.5,)


def test_time_of_pickling_does_not_count_when_an_item_has_a_timeout(backend):
    """Nor does the time that a result waits for a caller who does not read."""
    assert run(backend, type, [Slow()], timeout=0.2).values == [type(None)]
    answer = threading.Event()
    results = []

    def done(result):
        results.append(result)
        answer.set()

    backend.start(Batch(bytes, [100_000_000], timeout=0.3), done)
    time.sleep(0.05)
    sum(range(30_000_000))  # in C: the reader does not get the GIL for about a second
    assert answer.wait(DEADLINE)
    assert not results[0].errors


def test_timeout_holds_when_a_quick_batch_comes_after_a_slow_one(backend, work, tmp_path):
    """A short deadline counts although an alarm for a long one is set."""
    never = str(tmp_path / "never")
    assert run(backend, work.double, [1], timeout=50).values == [2]
    assert type(run(backend, work.wait_for, [never], timeout=0.05).errors[0]) is ItemTimeoutError


def test_idle_workers_end_when_they_are_not_used(backend, work, monkeypatch):
    """Workers without work end after a while, and come back on demand."""
    monkeypatch.setattr(crew, "IDLE", 0.05)
    (pid,) = run(backend, work.pid, [0]).values
    until(lambda: backend.workers == 0 and not os.path.exists(f"/proc/{pid}"))
    assert backend.forked_in is None
    assert run(backend, work.double, [1]).values == [2]
    assert backend.forked_in is not None  # the template was there
    backend.shutdown()
    assert backend.forked_in is None


def test_idle_worker_is_killed_when_a_thread_of_its_own_does_not_end(backend, work, monkeypatch):
    """It is told to end, and has a moment for that."""
    monkeypatch.setattr(crew, "IDLE", 0.05)
    monkeypatch.setattr(crew, "PATIENCE", 0.1)
    (pid,) = run(backend, work.leave_a_thread, [0]).values
    until(lambda: not os.path.exists(f"/proc/{pid}"))


# Ctrl-C, refusals of the system, and what comes in between.


def test_template_says_nothing_when_it_is_interrupted_while_it_boots(backend, work, capfd):
    """Ctrl-C, which goes to all of the terminal's processes, is for the caller alone; a worker still can be sent it."""
    for _ in range(5):
        backend.warm(1)
        pid = backend._crew._nursery.pid
        until(lambda pid=pid: os.kill(pid, signal.SIGINT) or backend.workers)
        assert run(backend, work.handling, [signal.SIGINT]).values == [(False, False, 1)]
        backend.shutdown()
    assert capfd.readouterr().err == ""


def test_cancel_does_nothing_when_a_forked_child_holds_the_ticket():
    """A batch belongs to the process that started it; a child's own batches and its end go on as if it were not."""
    done = script(
        """
        import os, threading
        from parallel_deco.backends.processes import ProcessBackend
        from parallel_deco.backends.batch import Batch
        backend = ProcessBackend()
        reading, writing = os.pipe()
        def start(descriptor):
            results, arrived = [], threading.Event()
            def done(result):
                results.extend(result.values)
                arrived.set()
            def read(path):
                with open(path) as file:
                    return file.read()
            return backend.start(Batch(read, [descriptor]), done), results, arrived
        ticket, results, arrived = start(f"/proc/{os.getpid()}/fd/{reading}")
        child = os.fork()
        if child == 0:
            cancelled = ticket.cancel(kill=True)
            _, own, ended = start(os.devnull)
            assert ended.wait(20)
            backend.shutdown()
            os._exit(4 if (cancelled, own) == (False, [""]) else 5)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        os.write(writing, b"go")
        os.close(writing)
        assert arrived.wait(20)
        print(*results)
        """,
        "-Wignore::DeprecationWarning",  # of fork in a program with threads, from 3.12 on
    )
    assert (done.stdout, done.stderr) == ("4\ngo\n", "")


@pytest.mark.parametrize("way", ["map", "submit"])
def test_program_ends_when_a_forked_child_drops_the_work_of_its_parent(run_program, way):
    """The child of a fork calls off what it has inherited, and exits as it wants to."""
    source = f"""
    import os, sys, time
    from parallel_deco import parallel

    def slow(x):
        time.sleep(0.05)
        return x

    slow = parallel(slow, backend="processes", max_workers=2)
    if {way!r} == "map":
        held = slow.map(range(10))
        next(held)
    else:
        held = [slow.submit(x) for x in range(10)]
        held[0].result()
    child = os.fork()
    if child == 0:
        if {way!r} == "submit":
            for future in held:
                future.cancel()
        sys.exit(4)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    rest = list(held) if {way!r} == "map" else [future.result() for future in held[1:]]
    print(status, rest)
    """
    status, out, err = run_program(source, environment={"PYTHONWARNINGS": "ignore::DeprecationWarning"})
    assert (status, out, err) == (0, f"4 {list(range(1, 10))}\n", "")


@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, what other threads let go of is freed later")
def test_whoever_waits_is_let_go_of_when_a_batch_is_called_off(backend, work, tmp_path):
    """Also while the ticket is held, and without the garbage collector."""

    class Waiting:
        def arrived(self, result):
            raise AssertionError("it was called off")

    waiting = Waiting()
    seen = weakref.ref(waiting)
    ticket = backend.start(Batch(work.wait_for, [str(tmp_path / "never")]), waiting.arrived)
    assert ticket.cancel(kill=True)
    del waiting
    assert seen() is None


def test_memory_is_let_go_of_when_idle_workers_end(backend, monkeypatch):
    """No segment stays mapped here when the worker that shared it has ended and no result is left."""
    numpy = pytest.importorskip("numpy")
    monkeypatch.setattr(crew, "IDLE", 0.05)
    (result,) = run(backend, numpy.ones, [4_000_000]).values
    assert "memfd:parallel_deco " in Path("/proc/self/maps").read_text()
    del result
    until(lambda: backend.workers == 0)
    # Without a GIL, what a test before this one has left in a circle is there until it is collected.
    until(lambda: (gc.collect(), "memfd:parallel_deco " not in Path("/proc/self/maps").read_text())[1])


def test_shorter_timeout_is_kept_behind_a_longer_one(backend, work, tmp_path):
    """A batch that was sent ahead has its own timeout, however long the one before it may take."""
    run(backend, work.wait_for, [os.devnull])  # now the worker knows the function
    paths = {"go": 1000.0, "never": 0.1}
    batches = [Batch(work.wait_for, [str(tmp_path / name)], timeout=paths[name]) for name in paths]
    calls = [Call(backend, batch, width=1, ahead=True) for batch in batches]
    (link,) = backend._crew
    assert len(link.work) == 2
    time.sleep(0.3)  # the pool has looked, and found the first at work
    (tmp_path / "go").touch()
    assert calls[0].result().values == [str(tmp_path / "go")]
    assert type(calls[1].result().errors[0]) is ItemTimeoutError


def test_shutdown_returns_when_a_start_was_interrupted(run_program):
    """Ctrl-C before the pool has counted a batch: it must not be counted down."""
    source = """
    import signal, threading
    from parallel_deco import parallel, shutdown
    from parallel_deco.backends import pools

    def interrupt(number, frame):
        raise KeyboardInterrupt

    def hold():
        with pools.processes()._lock:
            held.set()
            interrupted.wait(20)

    double = parallel(lambda x: 2 * x, backend="processes", max_workers=1)
    assert double.submit(1).result() == 2
    held, interrupted = threading.Event(), threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    signal.signal(signal.SIGALRM, interrupt)
    threading.Timer(0.5, interrupted.set).start()
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        double.submit(1)
    except KeyboardInterrupt:
        print("interrupted")
    thread.join()
    assert double.submit(2).result(20) == 4
    shutdown()
    """
    assert run_program(source) == (0, "interrupted\n", "")


def owner_of(backend, name):
    """Return who has the method of that name: a link, the backend, or its crew."""
    return Link if name == "send" else backend if hasattr(backend, name) else backend._crew


@pytest.mark.parametrize("when", ["hand", "_look_at", "_send", "send"])
def test_nobody_is_blamed_when_a_start_is_interrupted(backend, work, tmp_path, monkeypatch, when):
    """Ctrl-C while a batch is sent ahead to a busy worker: what that one was at runs again, and all goes on."""

    def interrupt(*_):
        monkeypatch.undo()
        raise KeyboardInterrupt

    run(backend, work.wait_for, [os.devnull])  # now the worker knows the function
    call = Call(backend, Batch(work.wait_for, [str(tmp_path / "go")]), width=1, ahead=True)
    monkeypatch.setattr(owner_of(backend, when), when, interrupt)
    with pytest.raises(KeyboardInterrupt):
        backend.start(Batch(work.wait_for, [os.devnull], timeout=DEADLINE), print, width=1, ahead=True)
    (tmp_path / "go").touch()
    assert (call.result().values, call.result().errors) == ([str(tmp_path / "go")], {})
    assert run(backend, work.double, [2]).values == [4]


#: In the template: the forks of these numbers fail.
FLAKY_FORK = """
import os
fork, forks = os.fork, []
def flaky():
    forks.append(None)
    if len(forks) in {failing}:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()
os.fork = flaky
"""


def flaky(monkeypatch, failing):
    """Have some forks of the next template fail, as they do when the system has no room for more processes."""
    monkeypatch.setattr(launch, "_BOOT", FLAKY_FORK.replace("{failing}", repr(failing)) + launch._BOOT)


def test_others_go_on_when_a_fork_fails(backend, work, tmp_path, monkeypatch):
    """No worker is ended for the one that could not be forked, and no item blamed."""
    flaky(monkeypatch, range(2, 1000))
    calls = [Call(backend, Batch(work.wait_for, [str(tmp_path / "go")]), width=1)]
    until(lambda: backend.workers)
    calls += [Call(backend, Batch(work.double, [index]), width=3) for index in range(5)]
    until(lambda: backend.width == 1)
    (tmp_path / "go").touch()
    assert [call.result().values for call in calls] == [[str(tmp_path / "go")], [0], [2], [4], [6], [8]]
    assert next(backend._crew._numbers) < 20, "it was tried again and again"


def test_fork_is_tried_again_when_there_is_no_other_worker(backend, work, monkeypatch):
    """A fork that fails once harms nobody; one that always does is an error of the items."""
    flaky(monkeypatch, [1, *range(3, 1000)])
    assert run(backend, work.double, [1]).values == [2]
    backend.shutdown()
    flaky(monkeypatch, range(1, 1000))
    assert type(run(backend, work.double, [1]).errors[0]) is WorkerDied


class Untold:
    """A key of which nobody can say what it is."""

    def __repr__(self):
        raise RuntimeError("no text")


def test_values_keep_their_places_when_a_result_can_neither_come_back_nor_be_shown(backend):
    """Also when results are sent before the batch has ended: the error is of its own item."""

    def slow(x):
        time.sleep(0.004)
        return {Untold(): threading.Lock()} if x == 0 else x

    result = run(backend, slow, range(8), keep_going=True)
    assert result.values == [None, *range(1, 8)]
    assert [(position, type(error)) for position, error in result.errors.items()] == [(0, NotPicklableError)]
    assert "item 0 of " in str(result.errors[0])


def test_values_keep_their_places_when_a_report_fails(backend, monkeypatch):
    """What goes wrong while results are sent early is no item's error; they are sent at the end."""

    def slow(x):
        from parallel_deco.backends import worker

        pack = worker.pack_outcomes

        def fails_once(*arguments):
            worker.pack_outcomes = pack
            raise MemoryError

        if x == 0:
            worker.pack_outcomes = fails_once
        time.sleep(0.02)
        return x

    result = run(backend, slow, range(4), keep_going=True)
    assert (result.values, result.errors) == ([0, 1, 2, 3], {})


class ComesLate:
    """A callable that takes its time to arrive."""

    def __call__(self, x):
        return x

    def __reduce__(self):
        return time.sleep, (1000,)


def test_item_fails_when_its_function_never_arrives(backend, monkeypatch):
    """The timeout ends a worker also where the function itself is being unpickled."""
    monkeypatch.setattr(deaths, "PICKLING", 0.5)
    result = run(backend, ComesLate(), [1], timeout=0.2)
    assert type(result.errors[0]) is ItemTimeoutError
    assert "unpickled" in str(result.errors[0])


def test_import_may_log_when_a_large_argument_is_on_its_way(backend, tmp_path, monkeypatch):
    """The worker takes the whole argument before it imports: the thread that sends it also reads what is logged."""
    monkeypatch.syspath_prepend(tmp_path)
    logger = logging.getLogger("chatty_module")
    monkeypatch.setattr(logger, "handlers", [logging.NullHandler()])
    monkeypatch.setattr(logger, "propagate", False)
    (tmp_path / "chatty_module.py").write_text(
        textwrap.dedent(
            """
            import logging
            for number in range(2000):
                logging.getLogger("chatty_module").warning("being imported: %s", number)

            def size(text):
                return len(text)
            """
        )
    )
    size = importlib.import_module("chatty_module").size
    assert run(backend, size, ["x" * 2_000_000]).values == [2_000_000]
    del sys.modules["chatty_module"]


def test_results_arrive_when_another_thread_of_the_worker_logs(backend, monkeypatch):
    """A new segment is not announced in the middle of a large record."""
    numpy = pytest.importorskip("numpy")
    logger = logging.getLogger("talking")
    monkeypatch.setattr(logger, "handlers", [logging.NullHandler()])
    monkeypatch.setattr(logger, "propagate", False)

    def talk(ended):
        while not ended.is_set():
            logging.getLogger("talking").warning("x" * 3_000_000)

    def make(sizes):
        ended = threading.Event()
        thread = threading.Thread(target=talk, args=(ended,))
        thread.start()
        arrays = [numpy.full(size, size) for size in sizes]
        time.sleep(0.005)
        ended.set()
        return arrays

    for first in range(20_000, 30_000, 1000):
        (arrays,) = run(backend, make, [range(first, first + 100, 10)]).values
        assert [array[-1] for array in arrays] == [*range(first, first + 100, 10)]


def loading(backend, function, width, most):
    """Have workers load a function; return how many, and what counts those that have answered."""
    prepared = backend.prepare(function)
    answers = []
    batch = Batch(function, (), measured=False)
    return prepared, backend.load(batch, answers.append, prepared, width, most), answers


def test_workers_load_a_function_when_there_is_nothing_to_run_yet(backend, work):
    """One that has done so is not asked again, and gets items before one that has not."""
    prepared, asked, answers = loading(backend, work.double, width=2, most=1)
    until(lambda: len(answers) == 1)
    until(lambda: backend.idle == 2)
    assert (asked, backend.ready(prepared)) == (1, 1)
    assert [run(backend, work.double, [x]).values for x in range(20)] == [[2 * x] for x in range(20)]
    assert backend.ready(prepared) == 1
    _, asked, answers = loading(backend, work.double, width=2, most=2)
    until(lambda: len(answers) == 1)
    assert (asked, backend.ready(prepared)) == (1, 2)


class LoadsBy:
    """Calls something where it is loaded."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def loaded_by(*call):
    """Return a function that makes a call when it is loaded."""

    held = LoadsBy(*call)

    def function(x):
        return x, held

    return function


def test_there_is_an_answer_when_loading_kills_the_worker(backend, work):
    """Nothing was lost with it, and others come for what follows."""
    _, asked, answers = loading(backend, loaded_by(os._exit, 3), width=2, most=2)
    until(lambda: len(answers) == asked == 2)
    assert run(backend, work.double, [1, 2]).values == [2, 4]


def test_there_is_an_answer_when_a_function_cannot_be_loaded(backend, work):
    """What kept it from that is for its first batch to say."""
    function = loaded_by(int, "no number")
    prepared, asked, answers = loading(backend, function, width=2, most=2)
    until(lambda: len(answers) == asked == 2)
    assert backend.ready(prepared) == 0
    assert "no number" in str(run(backend, function, [1]).errors[0])


@pytest.mark.parametrize("where", ["hand", "_send"])
def test_no_worker_is_lost_when_loading_is_interrupted(backend, work, monkeypatch, where):
    """Ctrl-C comes after a worker was taken from those that rest, or while it is sent something."""

    def half(x):
        return x / 2

    assert run(backend, work.double, [1]).values == [2]
    until(lambda: backend.idle > 0)

    def interrupt(*_):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(owner_of(backend, where), where, interrupt)
    with pytest.raises(KeyboardInterrupt):
        loading(backend, half, width=2, most=2)
    assert [run(backend, half, [x]).values for x in range(4)] == [[x / 2] for x in range(4)]
    backend.shutdown()


@pytest.mark.parametrize("kill", [False, True])
def test_shutdown_does_not_wait_when_a_function_takes_long_to_load(backend, work, kill):
    """Nobody waits for that; what was started is waited for, and done."""
    assert run(backend, work.double, [1]).values == [2]
    _, asked, answers = loading(backend, loaded_by(time.sleep, 3600), width=2, most=2)
    call = Call(backend, Batch(work.double, [1, 2]))
    backend.shutdown(kill=kill)
    assert len(answers) == asked == 2
    assert kill or call.result().values == [2, 4]


def test_worker_that_arrives_has_nothing_to_load_when_a_shutdown_has_begun(backend, work, monkeypatch):
    """It would be at that for ever, and what is to be done yet would wait for it."""
    assert run(backend, work.double, [1]).values == [2]
    loading(backend, loaded_by(time.sleep, 3600), width=3, most=3)
    deliver, errands = backend._deliver, []

    def look(task, complete):
        errands.extend(errand for link in backend._crew for errand in link.errands)
        deliver(task, complete)

    monkeypatch.setattr(backend, "_deliver", look)
    backend.shutdown()
    assert not errands


@dataclasses.dataclass(frozen=True)
class Refused(Exception):
    """Refuses attributes."""


def test_error_is_itself_when_it_refuses_attributes(backend):
    """It spoils neither its own item nor the others of its batch."""

    def refuse(x):
        if x == 1:
            raise Refused
        return x

    result = run(backend, refuse, range(3), keep_going=True)
    assert (result.values, list(result.errors)) == ([0, None, 2], [1])
    assert type(result.errors[1]) is Refused
    assert type(result.errors[1].__cause__) is RemoteTraceback


def test_nothing_is_left_open_when_there_are_no_descriptors_for_a_worker(monkeypatch):
    """A worker that cannot be given a socket, or a page to note things in, leaves none of either."""
    before = len(open_descriptors())

    def refuse(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    for owner, name in ((link_module._socket, "socketpair"), (slot, "mmap")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, refuse)
            with pytest.raises(OSError, match="Too many"):
                Link(1)
    assert len(open_descriptors()) == before


def test_shutdowns_wait_for_one_that_did_not_when_they_come_from_many_threads(backend, work, tmp_path):
    """Each returns when all has ended, and none fails."""
    call = Call(backend, Batch(work.wait_for, [str(tmp_path / "go")]))
    backend.shutdown(wait=False)
    failures, ended = [], []

    def end():
        try:
            backend.shutdown()
            ended.append(backend.workers)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=end) for _ in range(8)]
    for thread in threads:
        thread.start()
    (tmp_path / "go").touch()
    for thread in threads:
        thread.join(DEADLINE)
    assert (failures, ended) == ([], [0] * 8)
    assert call.result().values == [str(tmp_path / "go")]


def test_next_batch_runs_when_idle_workers_were_killed(backend, work):
    """A worker that was told to end gets no more work, although it may not have ended yet."""
    run(backend, work.double, [1])
    backend._kill_all()
    assert backend.idle == 0
    assert run(backend, work.double, [2]).values == [4]


def test_no_batch_is_lost_when_starts_are_interrupted_at_random():
    """Ctrl-C in one start takes nothing from the batches before it, and the pool can be shut down."""
    done = script(
        """
        import random, signal, threading
        from parallel_deco.backends.batch import Batch
        from parallel_deco.backends.processes import ProcessBackend

        armed = False
        def interrupt(number, frame):
            if armed:
                raise KeyboardInterrupt

        def same(x):
            return x

        signal.signal(signal.SIGALRM, interrupt)
        chance = random.Random(0)
        backend = ProcessBackend()
        prepared = backend.prepare(same)
        interrupted = 0
        for first in range(0, 1000, 50):
            calls = []
            for number in range(first, first + 50):
                arrived, values = threading.Event(), []
                def done(result, arrived=arrived, values=values):
                    values.append((result.values, result.errors))
                    arrived.set()
                batch = Batch(same, [number])
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, 200e-6))
                try:
                    armed = True
                    backend.start(batch, done, width=2, ahead=True, prepared=prepared)
                    armed = False
                    calls.append((number, arrived, values))
                except KeyboardInterrupt:
                    armed = False
                    interrupted += 1
            for number, arrived, values in calls:
                assert arrived.wait(10), number
                assert values == [([number], {})]
        backend.shutdown()
        print(interrupted > 0)
        """
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_batch_runs_elsewhere_when_it_cannot_be_sent(backend, work, monkeypatch):
    """Whatever the system says: a worker that may have part of a message gets no other, and its work another worker."""

    def refuse(*_):
        monkeypatch.undo()
        raise OSError(errno.ENOBUFS, "No buffer space available")

    run(backend, work.double, [1])
    monkeypatch.setattr(Connection, "send", refuse)
    assert run(backend, work.double, [2]).values == [4]


def test_worker_is_ended_when_its_stream_was_cut(backend, work, tmp_path, monkeypatch):
    """It does not go on with an item whose outcome nobody would hear of."""
    monkeypatch.setattr(processes, "STATUS_WAIT", 0.1)
    (pid,) = run(backend, work.pid, [None]).values
    call = Call(backend, Batch(work.touch_and_wait, [(str(tmp_path / "started"), str(tmp_path / "never"))], Shape.STAR))
    until((tmp_path / "started").exists)
    (link,) = backend._crew
    link._cut()
    assert type(call.result().errors[0]) is WorkerDied
    until(lambda: not os.path.exists(f"/proc/{pid}"))


@pytest.mark.parametrize("where", ["program", "sitecustomize"])
def test_large_buffers_and_deaths_arrive_when_sockets_have_a_timeout(run_program, script_environment, tmp_path, where):
    """That of `socket.setdefaulttimeout` is for the program's own; a `sitecustomize` sets it in our processes too."""
    limit = "import socket\nsocket.setdefaulttimeout(0.001)\n"
    (tmp_path / "sitecustomize.py").write_text(limit if where == "sitecustomize" else "")
    program = f"""{limit}
import os
from parallel_deco import parallel

@parallel(backend="processes", max_workers=1, chunksize=1)
def work(data):
    if not data:
        os._exit(7)
    return data

large = [bytes([n]) * 3_000_000 for n in range(3)]
print(list(work.map(large)) == large)
try:
    list(work.map([b""]))
except RuntimeError as error:
    print("exit code 7" in str(error))
"""
    path = os.pathsep.join([str(tmp_path), script_environment["PYTHONPATH"]])
    code, out, err = run_program(program, environment={"PYTHONPATH": path})
    assert (code, out, err) == (0, "True\nTrue\n", "")


def test_large_result_is_an_error_of_its_item_when_there_are_no_descriptors_left(run_program):
    """The worker lives, and what comes next comes through the socket."""
    pytest.importorskip("numpy")
    code, out, err = run_program("""
        import os, resource
        import numpy
        from parallel_deco import parallel

        @parallel(backend="processes", max_workers=1, chunksize=2)
        def work(size):
            return os.getpid(), numpy.ones(size)

        [(pid, _)] = work.map([10])
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        try:
            while True:
                os.dup(0)
        except OSError:
            pass
        lost, there = work.map([20_000, 10], return_exceptions=True)
        assert "Too many open files" in str(lost), lost
        assert there[0] == pid
        assert [(worker, array.sum()) for worker, array in work.map([20_000, 30_000])] == [(pid, 20_000), (pid, 30_000)]
        """)
    assert (code, out, err) == (0, "", "")


# What is loaded before workers are forked.

LOADED = """
    import sys
    <first>
    from parallel_deco import parallel
    <own>
    look = parallel(eval, backend="processes")
    file = "getattr(__import__('sys').modules.get('cloudpickle'), '__file__', None)"
    print([task.result() for task in [look.submit(file), look.submit(file)]])
    own = lambda: eval(file)
    print(parallel(own, backend="processes").submit().result())
"""


def loaded(own, first="pass"):
    """Return where two workers have cloudpickle from before a function by value came, and one after."""
    done = script(textwrap.dedent(LOADED).replace("<own>", own).replace("<first>", first))
    before, after = done.stdout.splitlines()
    return eval(before), after


@pytest.mark.parametrize("own", ["def own(): pass", "class Own: pass", "own = parallel(lambda: None)"])
def test_pickler_is_loaded_once_when_the_script_has_functions_of_its_own(own):
    """By the template, while the program loads it too: workers are forked with it."""
    assert loaded(own) == ([cloudpickle.__file__] * 2, cloudpickle.__file__)


@pytest.mark.parametrize("own", ["pass", "import math, functools; own = functools.partial(math.pow, 2)"])
def test_pickler_is_not_loaded_when_the_script_has_no_functions(own):
    """Workers start sooner without."""
    assert loaded(own) == ([None] * 2, cloudpickle.__file__)


def test_pickler_is_the_same_when_the_program_has_another(tmp_path):
    """One that only the program's own path leads to is not in the template; workers get the path with their work."""
    package = tmp_path / "cloudpickle"
    shutil.copytree(Path(cloudpickle.__file__).parent, package)
    before, after = loaded("def own(): pass", f"sys.path.insert(0, {str(tmp_path)!r})")
    assert (before, after) == ([None] * 2, str(package / "__init__.py"))
