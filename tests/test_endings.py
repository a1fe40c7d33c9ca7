"""What is under way when a program, or the child of a fork, ends; and when the collector or Ctrl-C comes anywhere."""

import signal

import pytest

from parallel_deco import NotPicklableError, parallel

pytestmark = pytest.mark.usefixtures("nothing_left")


def test_program_ends_at_once_when_a_map_of_processes_is_left_open(run_program, tmp_path):
    """However much it had taken already, which says how much may be under way: what was not taken is not computed."""
    program = f"""
    import time
    from parallel_deco import parallel

    def work(x):
        with open({str(tmp_path / "marks")!r}, "ab") as marks:
            marks.write(b".")
        time.sleep(0.001)
        return x

    results = parallel(work, backend="processes", chunksize=1, max_workers=2).map(range(10**5))
    for x in results:
        if x == 1000:
            break
    """
    assert run_program(program) == (0, "", "")
    assert 1000 < (tmp_path / "marks").stat().st_size < 1500


@pytest.mark.parametrize("how", ["in the call", "in a callback"])
def test_calls_are_completed_at_the_exit_when_calls_submit_them(how, run_program, tmp_path):
    """However many levels there are below those that the main program submitted."""
    program = f"""
    import time
    from parallel_deco import parallel

    @parallel(backend="threads")
    def below(level):
        time.sleep(0.1)
        above(level - 1)

    def above(level):
        if not level:
            open({str(tmp_path / "bottom")!r}, "w").close()
        elif {how == "in the call"!r}:
            below.submit(level)
        else:
            below_quietly.submit().add_done_callback(lambda _: above(level - 1))

    below_quietly = parallel(lambda: time.sleep(0.1), backend="threads")
    above(3)
    """
    assert run_program(program) == (0, "", "")
    assert (tmp_path / "bottom").exists()


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_child_of_a_fork_ends_when_it_has_the_parents_map(backend, run_program):
    """It lets go of the iterator; the parent goes on."""
    program = f"""
    import os, sys, time, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # there are threads: the user knows
    from parallel_deco import parallel
    function = parallel(lambda x: time.sleep(0.02) or x, backend={backend!r}, max_workers=2, chunksize=1)
    seen = 0
    for x in function.map(range(20)):
        seen += 1
        if x == 3:
            child = os.fork()
            if not child:
                sys.exit(4)
    print(seen, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert run_program(program) == (0, "20 4\n", "")


def test_child_of_a_fork_does_not_wait_for_locks_of_the_parents_map(run_program):
    """A thread of the parent's may have them just then; there is none to give them back."""
    program = """
    import os, sys, threading, time, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    from parallel_deco import parallel
    from parallel_deco._mapping import Mapping
    made = []
    begin = Mapping.begin
    Mapping.begin = lambda self: (made.append(self), begin(self))[1]
    results = parallel(lambda x: time.sleep(0.02) or x, backend="threads", max_workers=1).map(range(20))
    next(results)
    has, give_back = threading.Event(), threading.Event()
    def hold():
        with made[0]._lock:
            has.set()
            give_back.wait()
    threading.Thread(target=hold).start()
    has.wait()
    child = os.fork()
    if not child:
        import faulthandler
        faulthandler.dump_traceback_later(20, exit=True)
        try:
            next(results)
        except RuntimeError as error:
            sys.exit(7 if "fork" in str(error) else 8)
        sys.exit(9)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    give_back.set()
    print(len(list(results)), code)
    """
    assert run_program(program) == (0, "19 7\n", "")


def test_map_is_the_parents_when_a_child_takes_from_it(run_program):
    """The child is told, and does not wait for ever."""
    program = """
    import os, time, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    from parallel_deco import parallel
    results = parallel(lambda x: time.sleep(0.02) or x, backend="threads", max_workers=2).map(range(20))
    next(results)
    child = os.fork()
    if not child:
        try:
            list(results)
        except RuntimeError as error:
            os._exit(7 if "fork" in str(error) else 8)
        os._exit(9)
    print(len(list(results)), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert run_program(program) == (0, "19 7\n", "")


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_nothing_hangs_when_the_collector_lets_go_of_maps_anywhere(backend, run_program):
    """Within the library's own locks, too, which it may take to close them."""
    program = f"""
    import faulthandler, gc, time
    faulthandler.dump_traceback_later(25, exit=True)
    from parallel_deco import parallel
    function = parallel(lambda x: time.sleep(0.001) or x, backend={backend!r}, chunksize=1, max_workers=2)
    for _ in range(60):
        gc.disable()
        results = function.map(range(2000))
        next(results)
        box = [results]
        box.append(box)
        del results, box
        gc.set_threshold(1)
        gc.enable()
        time.sleep(0.01)
        gc.disable()
        assert list(function.map([1])) == [1]
    print("done")
    """
    assert run_program(program) == (0, "done\n", "")


def test_nothing_hangs_when_the_collector_lets_go_of_maps_with_timeouts_anywhere(run_program):
    """Within the locks of batches that keep what late items leave; and timeouts are kept afterwards."""
    program = """
    import faulthandler, gc, time
    faulthandler.dump_traceback_later(25, exit=True)
    from parallel_deco import parallel
    function = parallel(lambda x: time.sleep(0.001 if x % 3 else 0.02), backend="threads", timeout=0.01, max_workers=2)
    gc.set_threshold(2, 1, 1)
    for number in range(100):
        results = function.map(range(1, 60), return_exceptions=True, chunksize=5)
        box = [results]
        box.append(box)
        next(results)
        time.sleep(0.001 * (number % 9))
        del results, box
    gc.set_threshold(700, 10, 10)
    future = parallel(lambda: time.sleep(20), backend="threads", timeout=0.05).submit()
    print(type(future.exception(10)).__name__)
    """
    assert run_program(program) == (0, "ItemTimeoutError\n", "")


@pytest.mark.parametrize("backend", ["auto", "threads"])
def test_submits_go_on_when_an_interrupt_came_into_one(backend, run_program):
    """Wherever it comes: no place, no thread and no other call is lost."""
    program = f"""
    import faulthandler, random, signal
    faulthandler.dump_traceback_later(25, exit=True)
    from parallel_deco import parallel, shutdown
    def interrupt(number, frame):
        raise KeyboardInterrupt
    signal.signal(signal.SIGALRM, interrupt)
    kept = []  # what Python calls when an object goes swallows an interrupt
    for attempt in range(120):
        function = parallel(lambda x: x, backend={backend!r}, max_workers=1, shared={backend == "auto" or None!r})
        kept.append(function)
        futures = []
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(50e-6, 2e-3))
            for x in range(200):
                futures.append(function.submit(x))
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            pass
        assert function.submit(-1).result(20) == -1
        for future in futures:
            future.exception(20)
    shutdown()
    print("done")
    """
    status, out, _ = run_program(program)  # Python tells of interrupts that came into what it calls when objects go
    assert (status, out) == (0, "done\n")


@pytest.mark.parametrize("backend", ["auto", "threads", "processes", "serial"])
def test_what_a_handler_of_a_signal_raises_reaches_the_caller(backend, run_program):
    """A time limit: a map does not wait for ever, no item fails by it, and nobody goes on as if it had not come."""
    program = f"""
    import faulthandler, random, signal, time
    faulthandler.dump_traceback_later(25, exit=True)
    from parallel_deco import parallel, shutdown
    def limit(number, frame):
        raise TimeoutError("too long")
    signal.signal(signal.SIGALRM, limit)
    function = parallel(time.sleep, backend={backend!r})
    list(function.map([1e-3] * 20)), function.submit(1e-3).result(20)
    kept = 0
    for attempt in range(60):
        futures = []
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-3, 20e-3))
            if attempt % 2:
                list(function.map([2e-3] * 100))
            for _ in range(100):
                futures.append(function.submit(2e-3))
            time.sleep(1)
        except TimeoutError:
            kept += 1
        for future in futures:
            future.exception(20)
    shutdown()
    print(kept)
    """
    status, out, err = run_program(program)  # as above; and there it may be lost
    assert status == 0, err
    assert int(out) > 50


def test_error_of_an_item_is_its_own_when_no_handler_raised_it():
    """An enumeration's lookup that fails, for one: what a signal's handler would be is one too."""

    class Odd:
        def __init__(self, number):
            self.number = number

        def __reduce__(self):
            if self.number == 3:
                signal.Handlers(7)
            return Odd, (self.number,)

    function = parallel(lambda odd: odd.number, backend="processes")
    outcomes = list(function.map([Odd(number) for number in range(5)], return_exceptions=True))
    assert [type(outcome) for outcome in outcomes] == [int, int, int, NotPicklableError, int]
    assert isinstance(function.submit(Odd(3)).exception(20), NotPicklableError)


def test_handler_that_resets_itself_reaches_the_caller(run_program):
    """It is not set any more when its exception is caught, while an argument is pickled."""
    program = """
    import signal, time
    from parallel_deco import parallel
    class Slow:
        def __reduce__(self):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            time.sleep(1)
            return Slow, ()
    class Limit(Exception):
        pass
    def once(*_):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        raise Limit
    for begin in (lambda function: list(function.map([Slow()])), lambda function: function.submit(Slow())):
        signal.signal(signal.SIGALRM, once)
        try:
            begin(parallel(id, backend="processes"))
        except Limit:
            print("limit")
    """
    assert run_program(program) == (0, "limit\nlimit\n", "")


def test_all_goes_on_when_an_interrupt_came_into_an_import_before(run_program):
    """Python forgets to make a module that was being imported an attribute of its package, for good."""
    program = """
    import concurrent.futures
    del concurrent.futures
    from parallel_deco import parallel, shutdown
    function = parallel(lambda x: x)
    print(list(function.map([1, 2])), function.submit(3).result(20))
    shutdown()
    """
    assert run_program(program) == (0, "[1, 2] 3\n", "")


def test_measurements_are_right_when_interrupts_came_into_batches(run_program):
    """Nothing counts as running that does not run, and nobody is deeper in work than he is."""
    program = """
    import random, signal
    from parallel_deco import _nesting, _readings, parallel
    function = parallel(lambda x: sum(range(300)), backend="serial")
    list(function.map([0] * 10**4))  # all is imported: CPython may take an interrupt in there for the program's end
    def interrupt(number, frame):
        raise KeyboardInterrupt
    signal.signal(signal.SIGALRM, interrupt)
    for attempt in range(300):
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-3, 4e-3))
            for _ in function.map([0] * 10**5):
                pass
        except KeyboardInterrupt:
            pass
    _readings._sweep()  # as now and then a batch does
    print(len(_readings._ticking), _nesting.depth())
    """
    status, out, err = run_program(program)  # as above
    assert (status, out) == (0, "0 0\n"), err


def test_shutdown_waits_for_what_another_thread_imports(run_program):
    """At the exit, a thread of ours may be about to start the first workers."""
    program = """
    import importlib.util, threading, time
    from parallel_deco.backends import pools
    name = "parallel_deco.backends.launch"
    loader = type(importlib.util.find_spec(name).loader)
    begun, execute = threading.Event(), loader.exec_module
    def slowly(self, module):
        begun.set()
        time.sleep(0.2)
        execute(self, module)
    loader.exec_module = slowly
    thread = threading.Thread(target=importlib.import_module, args=(name,))
    thread.start()
    begun.wait()
    pools.shutdown()
    print("done")
    """
    assert run_program(program) == (0, "done\n", "")


@pytest.mark.parametrize("use", ["work.submit(1).result()", "sum(work.map([1]))", "sum(work.map(range(300)))"])
def test_files_are_closed_when_a_program_ends_right_after_its_work(use, run_program, tmp_path):
    """No thread of ours keeps the function, and with it the program's globals, beyond the end."""
    program = f"""
    from parallel_deco import parallel

    class Last:
        def __del__(self):
            print("gone")

    last = Last()
    out = open({str(tmp_path / "written")!r}, "w")

    @parallel
    def work(x):
        return x

    print({use}, file=out)
    """
    for _ in range(4):
        assert run_program(program) == (0, "gone\n", "")
        assert (tmp_path / "written").read_text() in ("1\n", "44850\n")


@pytest.mark.parametrize("chosen", ["auto", "serial"])
def test_thread_begins_when_the_main_thread_has_ended(chosen, run_program):
    """Even if nothing was run before."""
    program = f"""
    import threading
    from parallel_deco import parallel

    def work():
        threading.main_thread().join()
        print(list(parallel(abs, backend={chosen!r}).map([-1, -2])))

    threading.Thread(target=work).start()
    """
    assert run_program(program) == (0, "[1, 2]\n", "")
