"""From the first line of a program to its last: prompts, exits, exceptions, Ctrl-C, forks, in real programs."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from parallel_deco._cpus import gil_enabled

pytestmark = pytest.mark.usefixtures("nothing_left")

DEADLINE = 30.0
#: Seconds that separate "ends at once" from "waits for the work", which takes many minutes.
SOON = 10.0

HEAD = """
import faulthandler, os, signal, sys, threading, time
faulthandler.register(signal.SIGUSR1)  # a program that hangs is asked where
import parallel_deco
from parallel_deco import parallel
def doze():
    # 600 s, in short sleeps: a signal that comes when CPython is about to sleep does not wake it, here or in a loop.
    for _ in range(12000):
        time.sleep(0.05)
"""


def program(body, **values):
    """Return a program: the usual imports, and a body with values filled in."""
    text = textwrap.dedent(body)
    for name, value in values.items():
        text = text.replace(f"<{name}>", str(value))
    return HEAD + text


def processes_of(group):
    """Return the living processes of a process group or session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if group in (int(fields[2]), int(fields[3])) and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.fixture
def nothing_runs(until):
    """Assert that no process of a program's session is left."""

    def check(process):
        until(lambda: not processes_of(process.pid))

    return check


@pytest.fixture
def finish():
    """Wait for a started program, which must end soon; return status, output and errors."""

    def wait(process, seconds=SOON):
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGUSR1)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=1)
            process.kill()
            pytest.fail(f"the program did not end in {seconds} s\n{process.communicate()[1]}")
        return process.returncode, out, err

    return wait


# Where programs come from.


def test_functions_work_when_given_by_dash_c(backend, script_environment, tmp_path):
    """`python -c` needs no file and no guard."""
    code = program(
        """
        @parallel(backend="<backend>")
        def triple(x): return 3 * x
        print(list(triple.map(range(4))), triple.submit(9).result())
        """,
        backend=backend,
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=script_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 3, 6, 9] 27\n", "")


def test_functions_work_when_typed_at_a_prompt(backend, script_environment, tmp_path):
    """`python -i` works line by line, also after an error, and ends without a hang."""
    lines = f"""
from parallel_deco import parallel
@parallel(backend={backend!r})
def triple(x):
    return 3 * x

list(triple.map(range(4)))
1 / 0
triple.submit(9).result()
def triple(x):
    return -x

list(parallel(triple, backend={backend!r}).map([1, 2]))
"""
    done = subprocess.run(
        [sys.executable, "-i", "-q"],
        input=lines,
        env=script_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.stdout.splitlines() == ["[0, 3, 6, 9]", "27", "[-1, -2]"]
    assert "ZeroDivisionError" in done.stderr
    assert done.returncode == 0


def test_functions_work_when_read_from_standard_input(backend, script_environment, tmp_path):
    """A program that is piped into the interpreter works."""
    done = subprocess.run(
        [sys.executable, "-"],
        input=program("print(list(parallel(lambda x: x + 1, backend='<backend>').map(range(3))))", backend=backend),
        env=script_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1, 2, 3]\n", "")


def test_functions_work_when_run_as_a_module(backend, script_environment, tmp_path):
    """`python -m` works, package and all."""
    package = tmp_path / "pd_program"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "tool.py").write_text("def triple(x): return 3 * x\n")
    (package / "__main__.py").write_text(
        "from parallel_deco import parallel\nfrom pd_program.tool import triple\n"
        "@parallel\ndef here(x): return triple(x) + 1\n"
        f"print(list(here.options(backend={backend!r}).map(range(3))), "
        f"list(parallel(triple, backend={backend!r}).map(range(3))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pd_program"],
        env=script_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1, 4, 7] [0, 3, 6]\n", "")


@pytest.mark.parametrize("option", [["-X", "dev"], ["-I"], ["-O"], ["-W", "error"], ["-s", "-E"]], ids="".join)
def test_functions_work_when_python_has_options(option, functions, tmp_path):
    """Nothing is warned of or leaked under the stricter ways of running Python."""
    import parallel_deco

    root = str(Path(parallel_deco.__file__).resolve().parent.parent)
    path = tmp_path / "program.py"
    path.write_text(
        f"import sys; sys.path.insert(0, {root!r})\n"
        + program(
            """
            for backend in ("auto", "serial", "threads", "processes"):
                function = parallel(lambda x: x + 1, backend=backend)
                assert list(function.map(range(100))) == list(range(1, 101))
                assert function.submit(1).result() == 2
            print("done")
            """
        )
    )
    done = subprocess.run(
        [sys.executable, *option, str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


# How programs end.


@pytest.mark.parametrize("one", [True, False], ids=["one function", "many functions"])
def test_submitted_calls_end_first_when_the_program_ends(elsewhere, one, run_program, tmp_path):
    """As with concurrent.futures, what was submitted is completed before the program ends."""
    marks = tmp_path / "marks"
    body = program(
        """
        def work(x):
            time.sleep(0.02)
            with open("<marks>", "a") as file:
                file.write(f"{x}\\n")
        function = parallel(work, backend="<backend>", max_workers=2)
        def another():
            return function if <one> else parallel(work, backend="<backend>", max_workers=2)
        futures = [another().submit(x) for x in range(20)]
        """,
        marks=marks,
        backend=elsewhere,
        one=one,
    )
    assert run_program(body) == (0, "", "")
    assert sorted(map(int, marks.read_text().split())) == list(range(20))


def test_one_template_starts_when_many_threads_ask_for_the_first_workers_at_once(start_program, finish, nothing_runs):
    """A second one would stay, for nobody knows of it."""
    body = """
        import contextlib
        from pathlib import Path
        sys.setswitchinterval(1e-6)
        work, barrier = parallel(abs, backend="processes"), threading.Barrier(8)
        def ask(number, found=[]):
            barrier.wait()
            found.append(work.submit(-number).result())
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        children = 0
        for path in Path("/proc/self/task").glob("*/children"):
            with contextlib.suppress(OSError):  # a thread that has just ended
                children += len(path.read_text().split())
        print(children)
        """
    process = start_program(program(body))
    assert finish(process) == (0, "1\n", "")
    nothing_runs(process)


def test_program_ends_at_once_when_a_map_is_left_open(backend, start_program, finish, nothing_runs):
    """A map that nobody takes to its end does not keep the program."""
    body = program(
        """
        def work(x):
            time.sleep(0.05)
            return x
        results = parallel(work, backend="<backend>").map(range(100_000))
        print(next(results))
        """,
        backend=backend,
    )
    process = start_program(body)
    assert finish(process) == (0, "0\n", "")
    nothing_runs(process)


def test_program_ends_when_a_map_was_never_looked_at(backend, start_program, finish, nothing_runs):
    """A map that is made and kept, and never asked, does not keep the program."""
    body = program(
        "results = [parallel(abs, backend='<backend>').map(iter(int, 1)) for _ in range(5)]; print('made')",
        backend=backend,
    )
    process = start_program(body)
    assert finish(process) == (0, "made\n", "")
    nothing_runs(process)


def test_program_ends_when_its_input_blocks_for_ever(elsewhere, start_program, finish, nothing_runs):
    """A map that waits for an input that never comes does not keep the program."""
    body = program(
        """
        def items():
            yield 1
            yield 2
            threading.Event().wait()
        results = parallel(abs, backend="<backend>", chunksize=1, max_workers=2).map(items())
        print(next(results))
        """,
        backend=elsewhere,
    )
    process = start_program(body)
    assert finish(process) == (0, "1\n", "")
    nothing_runs(process)


@pytest.mark.parametrize("how", ["raise ValueError('mine')", "sys.exit(3)", "os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_program_ends_at_once_when_it_fails_with_work_under_way(elsewhere, how, start_program, finish, nothing_runs):
    """An exception, an exit or a kill ends the program and its workers although long calls run, and others wait."""
    body = program(
        """
        def work(path):
            open(path, "w").close()
            time.sleep(0.2 if "sys.exit" in HOW else 600)
        HOW = "<how>"
        function = parallel(work, backend="<backend>", max_workers=1)
        futures = [function.submit("started") for _ in range(5)]
        while not os.path.exists("started"):
            time.sleep(0.001)
        <how>
        """,
        backend=elsewhere,
        how=how,
    )
    process = start_program(body)
    status, out, err = finish(process)
    expected = {"raise": 1, "sys.e": 3, "os._e": 3, "os.ki": -9}[how[:5]]
    assert (status, out) == (expected, "")
    assert err.count("Traceback") == ("raise" in how)
    assert ("ValueError: mine" in err) == ("raise" in how)
    nothing_runs(process)


def test_exception_of_a_map_ends_the_program_when_uncaught(backend, run_program):
    """An uncaught exception of an item ends the program with one traceback, and no noise."""
    body = program(
        """
        @parallel(backend="<backend>")
        def fail(x):
            time.sleep(0.001)
            if x == 5:
                raise ValueError("mine")
            return x
        list(fail.map(range(1000)))
        """,
        backend=backend,
    )
    status, out, err = run_program(body)
    assert (status, out) == (1, "")
    assert "ValueError: mine\nraised by item 5 of a map of fail" in err
    assert "Exception ignored" not in err


def test_shutdown_may_come_twice_when_called_by_hand(backend, run_program):
    """A shutdown by hand, another, and the one at exit."""
    body = program(
        """
        import atexit
        atexit.register(lambda: print(list(parallel(abs, backend="<backend>").map([-1, -2])), flush=True))
        print(list(parallel(abs, backend="<backend>").map([-3])))
        parallel_deco.shutdown(); parallel_deco.shutdown()
        """,
        backend="serial" if backend != "serial" else backend,
    )
    assert run_program(body) == (0, "[3]\n[1, 2]\n", "")


def test_daemon_thread_does_not_disturb_when_the_program_ends(elsewhere, start_program, finish, nothing_runs):
    """A background thread of the user's that maps for ever does not keep the program, or make noise."""
    body = program(
        """
        function = parallel(abs, backend="<backend>")
        started = threading.Event()
        def forever():
            while True:
                list(function.map(range(50)))
                started.set()
        threading.Thread(target=forever, daemon=True).start()
        started.wait()
        """,
        backend=elsewhere,
    )
    process = start_program(body)
    status, out, err = finish(process)
    assert (status, out) == (0, "")
    assert "Fatal" not in err
    nothing_runs(process)


@pytest.mark.parametrize(
    "forever",
    ["for _ in function.map(itertools.count()): started.set()", "while function.submit(1).result(): started.set()"],
    ids=["map", "submit"],
)
def test_program_ends_when_a_daemon_thread_never_pauses(forever, elsewhere, start_program, finish, nothing_runs):
    """The exit waits for what is under way, not for one piece after the other."""
    body = program(
        """
        import itertools
        @parallel(backend="<backend>", max_workers=2)
        def function(x):
            time.sleep(0.005)
            return x + 1
        started = threading.Event()
        def run():
            <forever>
        threading.Thread(target=run, daemon=True).start()
        started.wait()
        """,
        backend=elsewhere,
        forever=forever,
    )
    process = start_program(body)
    assert finish(process) == (0, "", "")
    nothing_runs(process)


@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="it starts no threads once the main program has ended")
def test_map_of_a_thread_goes_on_when_the_main_program_has_ended(elsewhere, run_program):
    """Python waits for such a thread, and so it gets all of its results."""
    body = program(
        """
        @parallel(backend="<backend>", max_workers=2)
        def function(x):
            time.sleep(0.005)
            return x
        started = threading.Event()
        def run():
            total = 0
            for value in function.map(range(100)):
                started.set()
                total += value
            print(total, function.submit(7).result())
        threading.Thread(target=run).start()
        started.wait()
        """,
        backend=elsewhere,
    )
    assert run_program(body) == (0, "4950 7\n", "")


# Ctrl-C.


@pytest.mark.parametrize("function", ["doze()", "spin()", "time.sleep(0.01)"], ids=["waits", "computes", "short"])
def test_one_interrupt_ends_a_long_map_when_pressed(
    backend, function, start_program, finish, nothing_runs, until, tmp_path
):
    """One Ctrl-C to the whole process group ends the map with KeyboardInterrupt, fast, and leaves no orphan."""
    body = program(
        """
        def spin():
            end = time.monotonic() + 600
            while time.monotonic() < end:
                pass
        @parallel(backend="<backend>")
        def work(x):
            open(f"started{x}", "w").close()
            <function>
        try:
            for _ in work.map(range(60_000)):
                pass
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            raise
        """,
        backend=backend,
        function=function,
    )
    process = start_program(body)
    until((tmp_path / "started0").exists)
    if function == "time.sleep(0.01)":
        until((tmp_path / "started30").exists)
    os.killpg(process.pid, signal.SIGINT)
    status, out, err = finish(process)
    assert out == "interrupted\n"
    assert status == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt") or "KeyboardInterrupt\n" in err
    assert err.count("Traceback") == 1, err
    nothing_runs(process)


@pytest.mark.parametrize(
    ("begin", "wait"),
    [
        ("work.map(range(10**9))", "for _ in begun: pass"),
        ("[work.submit(0) for _ in range(60)]", "while True: [task.result() for task in begun]"),
    ],
    ids=["map", "result"],
)
def test_interrupt_is_an_interrupt_whenever_it_comes(begin, wait, run_program):
    """Between any two instructions of the thread that waits; `threading.Condition` does not keep that."""
    body = """
        import random
        work = parallel(lambda x: time.sleep(0.0002), backend="threads", max_workers=2)
        def interrupt(number, frame):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        for attempt in range(150):
            begun = <begin>
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0005, 0.004))
                <wait>
            except KeyboardInterrupt:
                pass
        print("done")
        """
    assert run_program(program(body, begin=begin, wait=wait)) == (0, "done\n", "")


@pytest.mark.parametrize("how", ["script", "-c", "-m"])
def test_program_dies_of_the_interrupt_when_threads_run_code_from_text(how, tmp_path, script_environment):
    """CPython alone would forget that Ctrl-C ended the program, and end it with status 1."""
    source = program(
        """
        @parallel(backend="threads")
        def work(x):
            while True:
                eval("x")
                time.sleep(0.001)
        task = work.submit(1)
        os.kill(os.getpid(), signal.SIGINT)
        task.result()
        """
    )
    (tmp_path / "module.py").write_text(source)
    arguments = {"script": ["module.py"], "-c": ["-c", source], "-m": ["-m", "module"]}[how]
    options = {"cwd": tmp_path, "env": script_environment, "timeout": DEADLINE, "capture_output": True}
    assert subprocess.run([sys.executable, *arguments], check=False, **options).returncode == -signal.SIGINT


def test_one_interrupt_ends_waiting_for_a_submit_when_pressed(
    elsewhere, start_program, finish, nothing_runs, until, tmp_path
):
    """One Ctrl-C while the program waits for a future ends it."""
    body = program(
        """
        def work(x):
            open("started", "w").close()
            doze()
        parallel(work, backend="<backend>").submit(1).result()
        """,
        backend=elsewhere,
    )
    process = start_program(body)
    until((tmp_path / "started").exists)
    os.killpg(process.pid, signal.SIGINT)
    status, _, err = finish(process)
    assert status == -signal.SIGINT
    assert err.count("Traceback") == 1, err
    nothing_runs(process)


def test_program_goes_on_when_it_catches_the_interrupt(backend, start_program, finish, nothing_runs, until, tmp_path):
    """After a caught Ctrl-C the same function can be mapped again."""
    body = program(
        """
        @parallel(backend="<backend>")
        def work(x):
            if x >= 0:
                open("started", "w").close()
                doze()
            return x
        try:
            list(work.map(range(100)))
        except KeyboardInterrupt:
            print(list(work.map([-1, -2, -3])), flush=True)
        """,
        backend=backend if backend != "threads" else "processes",
    )
    process = start_program(body)
    until((tmp_path / "started").exists)
    os.killpg(process.pid, signal.SIGINT)
    assert finish(process) == (0, "[-1, -2, -3]\n", "")
    nothing_runs(process)


def test_interrupt_ends_it_when_the_input_blocks(backend, start_program, finish, nothing_runs, until, tmp_path):
    """Ctrl-C while the input itself is waiting ends the map."""
    body = program(
        """
        def items():
            yield 1
            yield 2
            open("blocked", "w").close()
            doze()
        for value in parallel(abs, backend="<backend>", chunksize=1).map(items()):
            pass
        """,
        backend=backend,
    )
    process = start_program(body)
    until((tmp_path / "blocked").exists)
    os.killpg(process.pid, signal.SIGINT)
    status, _, err = finish(process)
    assert status == -signal.SIGINT
    assert "KeyboardInterrupt" in err
    nothing_runs(process)


def test_interrupt_ends_it_when_at_exit(elsewhere, start_program, finish, nothing_runs, until, tmp_path):
    """Ctrl-C while the program waits at its end for what was submitted ends it."""
    body = program(
        """
        def work(x):
            open("started", "w").close()
            doze()
        function = parallel(work, backend="<backend>", max_workers=1)
        futures = [function.submit(number) for number in range(5)]
        print("last line", flush=True)
        """,
        backend=elsewhere,
    )
    process = start_program(body)
    assert process.stdout.readline() == "last line\n"
    until((tmp_path / "started").exists)
    time.sleep(0.3)  # nothing tells from outside that the interpreter has reached its end
    os.killpg(process.pid, signal.SIGINT)
    finish(process)
    nothing_runs(process)


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_workers_go_when_the_program_is_killed(which, start_program, finish, nothing_runs, until, tmp_path):
    """However the program dies, its workers go with it."""
    body = program(
        """
        import signal
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may have been started with `nohup`
        def work(x):
            open(f"started{x}", "w").close()
            doze()
        list(parallel(work, backend="processes", max_workers=2, chunksize=1).map(range(10)))
        """
    )
    process = start_program(body)
    until(lambda: (tmp_path / "started0").exists() and (tmp_path / "started1").exists())
    process.send_signal(which)
    assert finish(process)[0] == -which
    nothing_runs(process)


@pytest.mark.parametrize("how", ["handler", "ignored", "blocked"])
@pytest.mark.parametrize("which", ["SIGHUP", "SIGTERM", "SIGQUIT", "SIGUSR2"])
def test_work_is_finished_when_a_signal_to_all_does_not_end_the_program(
    which, how, start_program, finish, nothing_runs
):
    """As systemd, SLURM and terminals send them: the workers live on where the program does."""
    prepare = {
        "handler": "signal.signal(which, lambda *_: print('heard', flush=True))",
        "ignored": "signal.signal(which, signal.SIG_IGN)",
        "blocked": "",
    }[how]
    body = program(
        """
        which = signal.<which>
        signal.signal(which, signal.SIG_DFL)  # the tests may have been started with `nohup`
        def work(x):
            if x == 2:
                os.killpg(0, which)
            time.sleep(0.05)
            return os.getpid()
        work = parallel(work, backend="processes", max_workers=2, chunksize=1)
        if <blocked>:
            signal.pthread_sigmask(signal.SIG_BLOCK, [which])  # threads have it from the thread that starts them
        before = {*work.map([0, 1])}
        <prepare>
        after = {*work.map(range(10))}
        print(len(after | before))
        """,
        which=which,
        prepare=prepare,
        blocked=how == "blocked",
    )
    process = start_program(body)
    assert finish(process) == (0, "heard\n2\n" if how == "handler" else "2\n", "")
    nothing_runs(process)


def test_worker_dies_of_a_signal_when_the_program_would(run_program):
    """One that a program has no handler for ends a worker at once, under its name."""
    body = program(
        """
        def work(x):
            os.kill(os.getpid(), signal.SIGTERM)
        error, = parallel(work, backend="processes").map([1], return_exceptions=True)
        print(type(error).__name__, error.exitcode == -signal.SIGTERM, "SIGTERM" in str(error))
        """
    )
    assert run_program(body) == (0, "WorkerDied True True\n", "")


def test_child_of_a_task_can_be_terminated_when_the_program_has_a_handler(run_program):
    """What a task forks is not a worker: its parent may end it."""
    body = program(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        signal.signal(signal.SIGTERM, lambda *_: None)
        def work(x):
            child = os.fork()
            if not child:
                doze()
            os.kill(child, signal.SIGTERM)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(*parallel(work, backend="processes").map([1]))
        """
    )
    assert run_program(body) == (0, f"-{int(signal.SIGTERM)}\n", "")


# Forks of the user's.


def test_child_works_when_the_program_forks_idle(backend, run_program):
    """After a fork, parent and child each have working backends of their own, and both end."""
    body = program(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        function = parallel(lambda x: x + 1, backend="<backend>")
        assert list(function.map(range(50))) == list(range(1, 51))
        assert function.submit(1).result() == 2
        child = os.fork()
        assert list(function.map(range(50))) == list(range(1, 51))
        assert function.submit(1).result(20) == 2
        if child:
            _, status = os.waitpid(child, 0)
            print("child", os.waitstatus_to_exitcode(status), flush=True)
        else:
            sys.exit(4)
        """,
        backend=backend,
    )
    assert run_program(body) == (0, "child 4\n", "")


def test_arrays_of_the_child_stay_as_they_are_when_the_parent_goes_on(run_program):
    """Large results lie in memory that workers write to again when they were dropped: not those that a fork has too."""
    body = program(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import numpy
        function = parallel(lambda x: numpy.full(100_000, x), backend="processes", max_workers=2)
        arrays = list(function.map(range(10)))
        ready, gate = os.pipe()
        child = os.fork()
        if child:
            del arrays
            for number in range(5):
                later = list(function.map(range(100, 120)))
            assert [array[0] for array in later] == list(range(100, 120))
            os.write(gate, b"x")
            print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        else:
            os.read(ready, 1)
            sys.exit(0 if all((array == number).all() for number, array in enumerate(arrays)) else 3)
        """
    )
    assert run_program(body) == (0, "child 0\n", "")


def test_arguments_of_a_tasks_child_stay_as_they_are_when_others_follow(run_program, tmp_path):
    """A child that a task forks may outlive it: the memory of its arguments is not written to again."""
    body = program(
        """
        import time
        import warnings
        import numpy

        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads

        def task(array, last):
            if not last and os.fork() == 0:
                while not os.path.exists("gate"):
                    time.sleep(0.001)
                with open("seen.part", "w") as file:
                    file.write(str(sorted(set(array))))
                os.rename("seen.part", "seen")
                os._exit(0)
            return array[0]

        function = parallel(task, backend="processes", max_workers=1)
        for number in range(4):
            assert list(function.starmap([(numpy.full(100_000, number), number > 0)])) == [number]
        open("gate", "w").close()
        while not os.path.exists("seen"):
            time.sleep(0.001)
        print(open("seen").read().replace("np.", "").replace("int64", ""))
        """
    )
    assert run_program(body) == (0, "[(0)]\n", "")


def test_child_works_when_the_program_forks_while_the_code_reader_loads(run_program):
    """A thread of ours imports it; the child must not inherit the lock of that import."""
    body = program(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from parallel_deco import _profile
        function = parallel(lambda x: x + 1)
        _profile._reader.ready()
        while "parallel_deco.routing.static" not in sys.modules:
            time.sleep(0.0001)
        child = os.fork()
        function.explain()
        if child:
            print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        """
    )
    assert run_program(body) == (0, "child 0\n", "")


def test_child_works_when_the_program_forks_while_a_thread_loads_the_pickler(run_program):
    """The fork waits for that import, which goes on: the child must not inherit its lock."""
    body = program(
        """
        import logging  # else it is imported while the fork waits, and lets go of a lock that it did not take before
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name == "cloudpickle":
                    begun.set()
                    time.sleep(0.1)

        begun = threading.Event()
        sys.meta_path.insert(0, Finder())
        function = parallel(lambda x: x + 1, backend="processes")
        thread = threading.Thread(target=lambda: list(function.map([1])))
        thread.start()
        begun.wait()
        child = os.fork()
        if not child:
            signal.alarm(20)  # it would hang
        assert list(function.map([1])) == [2]
        if child:
            thread.join()
            print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        """
    )
    assert run_program(body) == (0, "child 0\n", "")


@pytest.mark.parametrize("pause", [0, 0.001, 0.003, 0.01])
def test_child_works_when_the_program_forks_right_after_its_first_submit(pause, run_program):
    """The call's own thread reads its code, and imports what does; the child must not inherit the lock of that."""
    body = program(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        function = parallel(lambda x: x + 1)
        future = function.submit(1)
        time.sleep(<pause>)
        child = os.fork()
        function.explain()
        assert function.submit(2).result(20) == 3
        if child:
            print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), future.result(20), flush=True)
        """,
        pause=pause,
    )
    assert run_program(body) == (0, "child 0 2\n", "")


def test_child_works_when_the_program_forks_with_work_under_way(elsewhere, run_program):
    """Calls that are running or queued at the fork are the parent's: the child has a clean start, and ends."""
    body = program(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        @parallel(backend="<backend>", max_workers=1)
        def function(path):
            while path and not os.path.exists(path):
                time.sleep(0.001)
            return path
        futures = [function.submit("gate") for _ in range(5)]
        results = function.map(["gate"] * 5)
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            print("child", os.waitstatus_to_exitcode(status), flush=True)
            open("gate", "w").close()
            assert [future.result(20) for future in futures] == ["gate"] * 5
            assert list(results) == ["gate"] * 5
        else:
            assert function.submit("").result(20) == ""
            assert list(function.map([""] * 20)) == [""] * 20
            sys.exit(4)
        """,
        backend=elsewhere,
    )
    assert run_program(body) == (0, "child 4\n", "")


def test_multiprocessing_works_when_its_children_use_the_library(backend, run_program):
    """The workers of a user's own pool can map, and the pool ends."""
    body = program(
        """
        import multiprocessing, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        function = parallel(lambda x: x + 1, backend="<backend>")
        def task(n):
            return sum(function.map(range(n))) + function.submit(0).result()
        task(3)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(pool.map(task, [1, 2, 3]))
            pool.close(); pool.join()
        """,
        backend=backend,
    )
    assert run_program(body) == (0, "[2, 4, 7]\n", "")


def test_threads_of_the_user_may_map_when_the_main_thread_has_ended(backend, run_program):
    """A thread that outlives the main thread's last line still gets its results, as long as the program lives."""
    body = program(
        """
        function = parallel(lambda x: x + 1, backend="<backend>")
        list(function.map(range(3)))
        def late():
            threading.main_thread().join()
            print(sum(function.map(range(10))), flush=True)
        threading.Thread(target=late).start()
        """,
        backend=backend,
    )
    status, out, err = run_program(body)
    assert status == 0
    assert out == "55\n" or "interpreter shutdown" in err


@pytest.mark.parametrize("backend", ["auto", "processes"])
@pytest.mark.parametrize("state", ["enable", "disable"])
def test_collector_is_as_it_was_when_the_library_was_loaded(run_program, backend, state):
    """It pauses for that, here and where workers come from; what these run has it."""
    body = f"""
    import gc
    from parallel_deco import parallel
    gc.{state}()
    def collects(_):
        return gc.isenabled()
    print(parallel(collects, backend={backend!r}).submit(0).result(), gc.isenabled())
    print(parallel(collects, backend="processes").submit(0).result(), gc.isenabled())
    """
    here = state == "enable"
    there = here if backend == "auto" else True
    assert run_program(body) == (0, f"{there} {here}\nTrue {here}\n", "")


@pytest.mark.parametrize("backend", ["auto", "threads", "processes", "serial"])
@pytest.mark.parametrize("pause", [0.0, 0.003, 0.006, 0.01, 0.02, 0.04])
def test_child_works_when_the_program_forks_beside_the_first_map_of_a_thread(backend, pause, run_program):
    """Whatever that imports at the moment: the child has nobody who would come to an end with it."""
    program = f"""
    import faulthandler, os, threading, time, warnings
    from parallel_deco import parallel
    warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
    function = parallel(lambda x: x + 1, backend={backend!r})
    results = []
    thread = threading.Thread(target=lambda: results.extend(function.map(range(3))))
    thread.start()
    time.sleep({pause})
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(20, exit=True)
        os._exit(list(function.map(range(3))) != [1, 2, 3])
    status = os.waitpid(child, 0)[1]
    thread.join()
    print(status, results)
    """
    status, out, _ = run_program(program)  # in the child, `logging` may tell of a lock that it does not have
    assert (status, out) == (0, "0 [1, 2, 3]\n")


def test_calls_run_in_a_child_when_one_of_another_size_runs_in_the_parent(run_program):
    """Whatever is known of the code: calls that take turns share a place, but not with the parent's."""
    program = """
    import os, time, warnings
    from parallel_deco import parallel
    warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
    seen = []
    def work(x):
        seen.append(len(seen))
        time.sleep(0.2 if x > 10**6 else 0)
        return x
    function = parallel(work)
    future = function.submit(10**9)
    child = os.fork()
    if child == 0:
        os._exit(function.submit(1).result(10) != 1)
    print(os.waitpid(child, 0)[1], future.result(10))
    """
    assert run_program(program) == (0, "0 1000000000\n", "")


def test_future_ends_in_a_child_when_its_call_is_the_parents(run_program):
    """Nobody there would ever end it; the map of a parent says so too."""
    program = """
    import os, time, warnings
    from parallel_deco import parallel
    warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
    futures = [parallel(time.sleep, backend=backend).submit(0.3) for backend in ("threads", "processes")]
    child = os.fork()
    if child == 0:
        os._exit(not all("before a fork" in str(future.exception(10)) for future in futures))
    print(os.waitpid(child, 0)[1], [future.result(10) for future in futures])
    """
    assert run_program(program) == (0, "0 [None, None]\n", "")


@pytest.mark.skipif(not gil_enabled(), reason="CPython without a GIL does not call the finalizer there")
@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("backend", ["auto", "threads", "serial"])
def test_submit_is_refused_when_the_interpreter_clears_up(backend, used, run_program):
    """Where a finalizer begins something, and waits for it, the program would never end."""
    program = f"""
    from parallel_deco import parallel
    function = parallel(abs, backend={backend!r})
    if {used}:
        function.submit(1).result()
    class Late:
        def __del__(self, function=function, print=print):
            try:
                print(function.submit(2).result())
            except RuntimeError as error:
                print(error)
    kept = Late()
    kept.itself = kept
    """
    assert run_program(program) == (0, "the interpreter is ending: nothing can be started any more\n", "")
