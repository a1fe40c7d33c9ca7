"""What functions and values are when they arrive in a worker process, and when they come back to the program."""

import os
import re
import subprocess
import sys
import threading
import weakref
import zipfile

import pytest

import parallel_deco
from parallel_deco import NotPicklableError, parallel
from parallel_deco._cpus import gil_enabled
from parallel_deco.backends import pools
from tests.workloads import Thing, burn

METHODS = """
import functools
from parallel_deco import parallel

class A:
    @parallel(backend="processes")
    def work(self, x):
        return "A", x

    @parallel(backend="processes")
    def __private(self, x):
        return "private", x

    @parallel(backend="processes")
    @classmethod
    def made(cls, x):
        return "A", cls.__name__, x

    def plain(self, x):
        return "plain A", x

    def privately(self, xs):
        return list(self.__private.map(xs))

class B(A):
    @parallel(backend="processes")
    def work(self, x):
        return "B", x

    @parallel(backend="processes")
    @classmethod
    def made(cls, x):
        return "B", cls.__name__, x

    def plain(self, x):
        return "plain B", x

    def both(self, xs):
        return list(super().work.map(xs)), list(self.work.map(xs))

    def both_made(self, xs):
        return list(super().made.map(xs)), list(self.made.map(xs))

    def partial(self, xs):
        call = parallel(functools.partial(super().plain), backend="processes")
        return list(call.map(xs))

    def arguments(self):
        return [super().plain, self.plain, super().work]

def helper(self, x):
    return "helper", x

class C:
    run = parallel(helper, backend="processes")

    def helper(self, x):
        return "another", x

def call(function):
    return function(1)
"""


def test_method_is_the_callers_own_when_a_subclass_has_one_of_that_name(run_program, tmp_path):
    """A bound method is its function and its object: as what is mapped, in a partial, and as an argument."""
    (tmp_path / "methods.py").write_text(METHODS)
    code, out, err = run_program("""
        from methods import A, B, C, call
        from parallel_deco import parallel

        b = B()
        assert b.both([1]) == ([("A", 1)], [("B", 1)]), b.both([1])
        assert b.both_made([1]) == ([("A", "B", 1)], [("B", "B", 1)]), b.both_made([1])
        assert b.partial([1]) == [("plain A", 1)], b.partial([1])
        there = list(parallel(call, backend="processes").map(b.arguments()))
        assert there == [("plain A", 1), ("plain B", 1), ("A", 1)], there
        """)
    assert (code, out, err) == (0, "", "")


def test_method_is_found_when_no_name_leads_to_it(run_program, tmp_path):
    """A private method has another name in its class, and one under a name of its own may share it with another."""
    (tmp_path / "methods.py").write_text(METHODS)
    code, out, err = run_program("""
        from methods import A, B, C, call
        from parallel_deco import parallel

        assert B().privately([1]) == [("private", 1)]
        assert list(C().run.map([1])) == [("helper", 1)]
        there = list(parallel(call, backend="processes").map([C().run, B().work.options(chunksize=2)]))
        assert there == [("helper", 1), ("B", 1)], there
        """)
    assert (code, out, err) == (0, "", "")


def test_class_is_left_alone_when_results_of_it_come_back(run_program):
    """What the program counts and keeps in its classes stays, and so do their methods; errors and enums too."""
    code, out, err = run_program("""
        import dataclasses, enum
        from parallel_deco import parallel

        class Base:
            made = []
            def __init_subclass__(cls):
                Base.made.append(cls.__name__)

        class Stats(Base):
            total = 0
            seen = []
            class Inner:
                total = 0
            def __init__(self, x):
                self.x, self.inner = x, Stats.Inner()
            def method(self):
                return self.x

        class Failed(Exception):
            total = 0

        class Color(enum.Enum):
            RED = 1
            def method(self):
                return self.value

        @dataclasses.dataclass(frozen=True)
        class Point:
            x: int

        def make(x):
            if x % 2:
                raise Failed(x)
            return Stats(x), Color.RED, Point(x)

        methods = Stats.method, Color.method, Point.__eq__
        seen = Stats.seen
        results = parallel(make, backend="processes", chunksize=1).map(range(8), return_exceptions=True)
        for x, result in enumerate(results):
            if x % 2:
                assert type(result) is Failed and result.args == (x,)
                Failed.total += 1
            else:
                stats, color, point = result
                assert type(stats) is Stats and stats.method() == x and type(stats.inner) is Stats.Inner
                assert color is Color.RED and point == Point(x)
                Stats.total += 1
                Stats.Inner.total += 1
                Stats.seen.append(x)
        assert (Stats.total, Stats.Inner.total, Failed.total, Base.made) == (4, 4, 4, ["Stats"])
        assert (Stats.method, Color.method, Point.__eq__) == methods
        assert Stats.seen is seen and seen == [0, 2, 4, 6]
        """)
    assert (code, out, err) == (0, "", "")


def test_class_keeps_its_state_in_a_worker_when_the_programs_did_not_change(run_program):
    """What a worker has loaded into a class serves all its batches; what the program changes, changes."""
    code, out, err = run_program("""
        from parallel_deco import parallel

        FACTOR = 1

        class Job:
            loaded = None
            kept = {}
            gone = 1
            rate = 1
            def __init__(self, x):
                self.x = x
            def run(self):
                if Job.loaded is None:
                    Job.loaded = self.x
                Job.kept[self.x] = None
                return Job.loaded, len(Job.kept), Job.rate * FACTOR, hasattr(Job, "gone")

        @parallel(backend="processes", max_workers=1, chunksize=1)
        def run(job):
            return job.run()

        def went(*numbers):
            return list(run.map([Job(x) for x in numbers]))

        assert went(1, 2) == [(1, 1, 1, True), (1, 2, 1, True)]
        Job.rate = 3
        assert went(3) == [(1, 3, 3, True)]
        FACTOR = 5
        assert went(4) == [(1, 4, 15, True)]
        del Job.gone
        assert went(5) == [(1, 5, 15, False)]
        Job.kept[9] = None
        assert went(6) == [(1, 2, 15, False)]

        class Job:  # as in a cell of a notebook that is run again
            def __init__(self, x):
                self.x = x
            def run(self):
                return "new"

        assert went(7) == ["new"]
        Job.run = lambda self: "newer"
        assert went(8) == ["newer"]
        """)
    assert (code, out, err) == (0, "", "")


def test_class_is_complete_when_it_was_made_in_a_worker(run_program):
    """One that the program has never seen arrives with its methods; it may go on to the workers again."""
    code, out, err = run_program("""
        from parallel_deco import parallel

        @parallel(backend="processes", chunksize=1)
        def make(x):
            class Made:
                total = 0
                def __init__(self, x):
                    self.x = x
                def method(self):
                    return type(self).total, self.x
            return Made(x)

        @parallel(backend="processes", chunksize=1)
        def call(made):
            return made.method()

        made = list(make.map(range(4)))
        assert [one.method() for one in made] == [(0, x) for x in range(4)]
        assert list(call.map(made)) == [(0, x) for x in range(4)]
        """)
    assert (code, out, err) == (0, "", "")


def test_class_does_not_come_back_with_each_result_when_the_program_has_it(run_program):
    """Its number does, whatever the worker has put into it; inner classes, enumerations and metaclasses too."""
    code, out, err = run_program("""
        import dataclasses, enum, threading
        from parallel_deco.backends.batch import Batch
        from parallel_deco.backends.processes import ProcessBackend

        class Meta(type):
            pass

        class Color(enum.Enum):
            RED = 1

        @dataclasses.dataclass
        class Point(metaclass=Meta):
            x: int
            color: Color
            class Inner:
                pass
            text = "what is not to be sent again" * 100

        def make(x):
            Point.lock = threading.Lock()
            return Point(x, Color.RED), Point.Inner, Meta

        backend, ended, results = ProcessBackend(), threading.Event(), []
        backend.start(Batch(make, range(100)), lambda result: (results.append(result), ended.set()), width=1)
        ended.wait()
        backend.shutdown()
        [result] = results
        assert not result.errors, result.errors
        assert result.values == [(Point(x, Color.RED), Point.Inner, Meta) for x in range(100)]
        assert result.readings.received < 100 * 500, result.readings.received
        assert not hasattr(Point, "lock")
        """)
    assert (code, out, err) == (0, "", "")


@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, a class goes later than when nothing refers to it")
def test_class_is_made_anew_when_the_program_let_go_of_it_meanwhile(run_program):
    """A result of it is complete although nothing else of it is left."""
    code, out, err = run_program("""
        import gc, os, time, weakref
        from parallel_deco import parallel

        def begin():
            class Made:
                def __init__(self, x):
                    self.x = x
                def method(self):
                    return self.x

            @parallel(backend="processes")
            def work(x):
                made = Made(x)
                while not os.path.exists("gone"):
                    time.sleep(1e-3)
                return made, made

            future, ref = work.submit(3), weakref.ref(Made)
            Made = None
            return future, ref

        future, ref = begin()
        gc.collect()
        assert ref() is None
        open("gone", "w").close()
        one, other = future.result()
        assert one is other and one.method() == 3
        """)
    assert (code, out, err) == (0, "", "")


def test_function_is_itself_when_it_comes_back(run_program):
    """Of the script, decorated, without a name, a method, or with new code; what a closure has changed comes back."""
    code, out, err = run_program("""
        import functools
        from parallel_deco import parallel

        def logged(function):
            @functools.wraps(function)
            def wrapper(*args):
                return function(*args)
            return wrapper

        def plain(x): return "plain", x
        @logged
        def wrapped(x): return "wrapped", x
        unnamed = lambda x: ("unnamed", x)
        class Holder:
            def method(self): return "method"

        def called(function):
            function.note = "set in a worker"
            return function, function(1)

        tasks = [plain, wrapped, unnamed, Holder.method]
        table = dict(parallel(called, backend="processes").map(tasks))
        assert [table[task] for task in tasks] == [*(task(1) for task in tasks)], table
        assert not hasattr(plain, "note")

        def itself(x): return itself
        function = parallel(itself, backend="processes")
        assert list(function.map([0])) == [itself]
        def other(x): return itself, x
        itself.__code__ = other.__code__
        assert list(function.map([0])) == [(itself, 0)]

        def counter():
            count = 0
            def following(x):
                nonlocal count
                count += x
                return count
            return following

        [(back, one)] = parallel(called, backend="processes").map([counter()])
        assert (one, back(1), back.note) == (1, 2, "set in a worker")
        """)
    assert (code, out, err) == (0, "", "")


def test_worker_runs_the_new_code_when_a_module_is_reloaded(run_program):
    """The module of the function, of its helpers, and of what a script uses; batches go on in the same worker."""
    code, out, err = run_program("""
        import importlib, os, pathlib, sys
        from parallel_deco import parallel

        sys.dont_write_bytecode = True

        def write(version):
            pathlib.Path("helping.py").write_text(f"import os\\ndef helper(): return {version!r}, os.getpid()\\n")
            pathlib.Path("working.py").write_text(
                "import helping\\n"
                "from parallel_deco import parallel\\n"
                "@parallel(backend='processes', max_workers=1)\\n"
                f"def work(x): return {version!r}, *helping.helper()\\n"
            )

        write("old")
        import helping, working

        def script(x):
            return working.work(x)

        script = parallel(script, backend="processes", max_workers=1)
        [(*versions, pid)] = working.work.map([0])
        assert versions == ["old", "old"] and list(script.map([0])) == [("old", "old", pid)]
        write("newer")
        importlib.reload(helping)
        assert list(working.work.map([0])) == list(script.map([0])) == [("old", "newer", pid)]
        importlib.reload(working)
        assert list(working.work.map([0])) == list(script.map([0])) == [("newer", "newer", pid)]
        assert working.work.submit(0).result() == ("newer", "newer", pid)
        """)
    assert (code, out, err) == (0, "", "")


def test_worker_reloads_in_the_programs_order_when_several_modules_are_reloaded_at_once(run_program):
    """What a module takes from another at its import is what it took in the program, be it new or old."""
    code, out, err = run_program("""
        import importlib, os, pathlib, sys
        from parallel_deco import parallel

        sys.dont_write_bytecode = True
        names = [f"layer_{number}" for number in range(6)]

        def write(version):
            pathlib.Path("layer_0.py").write_text(f"X = {version!r}\\n")

        def told(_):
            return os.getpid(), [module.X for module in modules]

        write("old")
        for below, name in zip(names, names[1:]):
            pathlib.Path(f"{name}.py").write_text(f"from {below} import X\\n")
        modules = [*map(importlib.import_module, names)]
        told = parallel(told, backend="processes", max_workers=1)
        [(pid, before)] = told.map([0])
        assert before == ["old"] * 6
        write("newer")
        for module in modules:
            importlib.reload(module)
        assert list(told.map([0])) == [(pid, ["newer"] * 6)]
        write("the newest")
        for module in reversed(modules):
            importlib.reload(module)
        assert list(told.map([0])) == [(pid, ["the newest"] + ["newer"] * 5)]
        """)
    assert (code, out, err) == (0, "", "")


def test_worker_runs_the_new_code_when_a_functions_code_was_replaced(run_program):
    """A function that was patched in its place goes by value, and by its name again when it is as it was."""
    code, out, err = run_program("""
        import pathlib
        from parallel_deco import parallel

        pathlib.Path("patched.py").write_text("RATE = 2\\ndef f(x): return x\\ndef g(x): return -x * RATE\\n")
        import patched

        f = parallel(patched.f, backend="processes")
        old = patched.f.__code__
        assert list(f.map([1])) == [1]
        patched.f.__code__ = patched.g.__code__
        assert list(f.map([1])) == [-2]
        patched.f.__code__ = old
        assert list(f.map([1])) == [1]
        """)
    assert (code, out, err) == (0, "", "")


def test_module_function_is_the_programs_when_the_program_has_wrapped_it(run_program):
    """A worker that imports the module has none of the wrappers that were put there since; a script's go by value."""
    code, out, err = run_program("""
        import functools, pathlib
        from parallel_deco import parallel

        pathlib.Path("wrapped.py").write_text(
            "import functools\\n"
            "def double(function):\\n"
            "    @functools.wraps(function)\\n"
            "    def wrapper(x): return 2 * function(x)\\n"
            "    return wrapper\\n"
            "@double\\n"
            "def decorated(x): return x\\n"
            "def bare(x): return x\\n"
            "def replaced(x): return x\\n"
            "def both(x): return x\\n"
            "def cached(x): return x\\n"
        )
        import wrapped

        def triple(function):
            @functools.wraps(function)
            def wrapper(x):
                return 3 * function(x)
            return wrapper

        there = functools.partial(parallel, backend="processes")
        wrapped.decorated, wrapped.bare = there(wrapped.decorated), there(wrapped.bare)
        wrapped.replaced, wrapped.both = triple(wrapped.replaced), there(triple(wrapped.both))
        assert list(wrapped.decorated.map([1, 2])) == [2, 4]
        assert list(wrapped.bare.map([1, 2])) == [1, 2]
        assert list(there(wrapped.replaced).map([1, 2])) == list(there(wrapped.replaced).map([1, 2])) == [3, 6]
        assert list(wrapped.both.map([1, 2])) == [3, 6]
        wrapped.cached = functools.lru_cache(wrapped.cached)
        assert list(there(wrapped.cached).map([1, 2])) == [1, 2]
        """)
    assert (code, out, err) == (0, "", "")


def test_module_is_the_right_one_when_two_have_its_name(run_program):
    """Plug-ins that are loaded under one name, of which one may also be on the path."""
    code, out, err = run_program("""
        import pathlib, sys
        from importlib.util import module_from_spec, spec_from_file_location
        from parallel_deco import parallel

        pathlib.Path("plugin.py").write_text("def run(x): return 'on the path'\\n")

        def load(name):
            path = pathlib.Path(f"{name}.txt").absolute().with_suffix(".py")
            path.write_text(f"def run(x): return {name!r}\\n")
            spec = spec_from_file_location("plugin", path)
            module = sys.modules["plugin"] = module_from_spec(spec)
            spec.loader.exec_module(module)
            return parallel(module.run, backend="processes", max_workers=1)

        first = load("a")
        assert list(first.map([0])) == ["a"]
        second = load("b")
        assert list(second.map([0])) == ["b"]
        assert list(first.map([0])) == ["a"]
        assert list(load("a").map([0])) == ["a"]
        """)
    assert (code, out, err) == (0, "", "")


def test_module_is_found_when_no_path_leads_to_it(run_program):
    """By a function that goes by value, by an argument's class, and before another of its name that is on the path."""
    code, out, err = run_program("""
        import pathlib, sys
        from importlib.util import module_from_spec, spec_from_file_location
        from parallel_deco import parallel

        source = "class Box:\\n    def __init__(self, x): self.x = x\\n    def name(self): return "
        for file in ("plugins/a.py", "plugins/b.py", "shadowed.py"):
            pathlib.Path(file).parent.mkdir(exist_ok=True)
            pathlib.Path(file).write_text(f"{source}{file!r}\\n")

        def load(name, file):
            spec = spec_from_file_location(name, pathlib.Path(file).absolute())
            module = sys.modules[name] = module_from_spec(spec)
            spec.loader.exec_module(module)
            return module

        plugin, shadowed = load("plugin", "plugins/a.py"), load("shadowed", "plugins/b.py")

        @parallel(backend="processes", max_workers=1)
        def make(x):
            return plugin.Box(x), shadowed.Box(x)

        @parallel(backend="processes", max_workers=1)
        def named(box):
            return box.name(), box.x

        for first, second in make.map(range(2)):
            assert type(first) is plugin.Box and type(second) is shadowed.Box
        assert list(named.map([plugin.Box(1), shadowed.Box(2)])) == [("plugins/a.py", 1), ("plugins/b.py", 2)]
        late = load("late", "plugins/a.py")
        assert list(named.map([late.Box(3)])) == [("plugins/a.py", 3)]
        """)
    assert (code, out, err) == (0, "", "")


def test_module_is_found_when_the_program_has_left_its_directory(run_program):
    """An entry of the path is relative to another directory then, or to none where that was removed."""
    program = """
        import os, pathlib, sys
        import parallel_deco
        from parallel_deco import parallel

        os.makedirs("first/second/third")
        pathlib.Path("first/helper.py").write_text("class C: pass")
        sys.path[0] = ""
        os.chdir("first")
        import helper

        take = parallel(lambda c: type(c).__name__, backend="processes")
        print(list(take.map([0])))
        os.chdir("second")
        parallel_deco.shutdown()
        print(list(take.map([helper.C()])))
        os.chdir("third")
        os.rmdir(os.getcwd())
        print(list(take.map([helper.C()])))
        parallel_deco.shutdown()
        print(list(take.map([helper.C()])))
    """
    assert run_program(program) == (0, "['int']\n['C']\n['C']\n['C']\n", "")


def test_what_a_module_made_by_hand_has_travels_when_its_name_leads_to_it(run_program):
    """There is nothing that a worker could import: functions, classes and the module itself go by value."""
    code, out, err = run_program("""
        import runpy, sys, types
        from pathlib import Path
        from parallel_deco import parallel

        made = sys.modules["made"] = types.ModuleType("made")
        exec("SCALE = 3\\ndef scaled(x): return Box(x * SCALE)\\nclass Box:\\n    def __init__(self, x): self.x = x",
             vars(made))

        def through(x):
            return made.scaled(x).x

        def opened(box):
            return box.x, scaled

        options = {"backend": "processes", "max_workers": 1}
        boxes = list(parallel(made.scaled, **options).map([1, 2]))
        assert [(type(box), box.x) for box in boxes] == [(made.Box, 3), (made.Box, 6)]
        assert list(parallel(through, **options).map([1, 2])) == [3, 6]
        scaled = made.scaled
        assert list(parallel(opened, **options).map(boxes)) == [(3, scaled), (6, scaled)]
        made.SCALE = 5
        assert list(parallel(through, **options).map([1, 2])) == [5, 10]

        Path("other.py").write_text(
            "from parallel_deco import parallel\\nclass Own: pass\\ndef make(x): return Own()\\n"
            "same = [type(own) is Own for own in parallel(make, backend='processes').map([1, 2])]"
        )
        assert runpy.run_path("other.py")["same"] == [True, True]
        """)
    assert (code, out, err) == (0, "", "")


def test_script_works_when_a_child_of_multiprocessing_has_it_under_another_name(run_program):
    """A child that was spawned has the script as a module that it made by hand."""
    code, out, err = run_program("""
        import multiprocessing
        from parallel_deco import parallel

        class Own:
            def __init__(self, x):
                self.x = x

        def make(x):
            return Own(x)

        def opened(own):
            return own.x

        def child(queue):
            made = list(parallel(make, backend="processes", max_workers=1).map([1, 2]))
            queue.put([type(own) is Own for own in made])
            queue.put(list(parallel(opened, backend="processes", max_workers=1).map(made)))

        if __name__ == "__main__":
            spawn = multiprocessing.get_context("spawn")
            queue = spawn.SimpleQueue()
            process = spawn.Process(target=child, args=(queue,))
            process.start()
            process.join()
            print(queue.get(), queue.get())
        """)
    assert (code, out, err) == (0, "[True, True] [1, 2]\n", "")


def test_names_of_main_lead_to_what_came_when_a_worker_looks_them_up(run_program):
    """pickle, get_type_hints and `import __main__` find the script's classes and functions, and their last version."""
    code, out, err = run_program("""
        import dataclasses, enum, os, pickle, typing
        from parallel_deco import parallel

        class Color(enum.Enum):
            RED = 1

        @dataclasses.dataclass
        class Point:
            x: int
            color: "Color" = Color.RED

        class Outer:
            class Point:
                pass

        def helper(x):
            return Point(x)

        @parallel(backend="processes", max_workers=1)
        def work(x):
            import __main__

            Outer.Point
            assert __main__.helper is helper and __main__.Point is Point
            assert typing.get_type_hints(Point) == {"x": int, "color": Color}
            assert os.path.samefile(__main__.__file__, __file__)
            copy = pickle.loads(pickle.dumps(helper(x)))
            assert type(copy) is Point and pickle.loads(pickle.dumps(helper)) is helper
            return copy

        assert list(work.map([1])) == [Point(1)]

        class Point(Point):
            pass

        assert list(work.map([1])) == [Point(1)]
        """)
    assert (code, out, err) == (0, "", "")


def test_slots_are_slots_when_a_class_of_the_script_has_them(run_program):
    """Objects without a `__dict__` go and come back: plain ones, private slots, inherited ones, and dataclasses."""
    code, out, err = run_program("""
        import collections, dataclasses, enum, typing
        from parallel_deco import parallel

        class Color(enum.Enum):
            __slots__ = ()
            RED = 1

        class Slots:
            __slots__ = ("a", "__private", "__weakref__")
            def __init__(self, a):
                self.a = self.__private = a
            def both(self):
                return self.a, self.__private

        class Below(Slots):
            __slots__ = "b"

        class Named:
            __slots__ = {"c": "what it is"}

        class Open(Slots):
            pass

        @dataclasses.dataclass(slots=True)
        class Point:
            x: int

        @dataclasses.dataclass(frozen=True, slots=True)
        class Frozen:
            x: int

        class Pair(typing.NamedTuple):
            a: int
            b: int = 2

        Plain = collections.namedtuple("Plain", "a")

        def work(given):
            assert not hasattr(Plain(1), "__dict__")
            assert not hasattr(given, "__dict__") and [*Color] == [Color.RED]
            below, named, opened = Below(1), Named(), Open(2)
            below.b, named.c, opened.d = 3, 4, 5
            return given, below, named, opened, Point(6), Frozen(7), Pair(8)

        for given, below, named, opened, point, frozen, pair in parallel(work, backend="processes").map([Slots(0)] * 3):
            assert type(given) is Slots and given.both() == (0, 0) and below.both() == (1, 1)
            assert (below.b, named.c, opened.a, opened.d) == (3, 4, 2, 5)
            assert (point, frozen, pair) == (Point(6), Frozen(7), Pair(8))
        assert Named.__slots__ == {"c": "what it is"}
        """)
    assert (code, out, err) == (0, "", "")


def test_registers_are_as_they_are_when_classes_of_the_script_arrive(run_program):
    """What a metaclass or a base does for each new class was done in the program; its register tells of that, once."""
    code, out, err = run_program("""
        import abc, typing
        from parallel_deco import parallel

        class Meta(abc.ABCMeta):
            count, made = 0, []
            def __new__(meta, name, bases, members, **options):
                Meta.count += 1
                return super().__new__(meta, name, bases, members, **options)
            def __init__(cls, name, bases, members, **options):
                Meta.made.append(name)
                super().__init__(name, bases, members)

        class Plugin(metaclass=Meta):
            known = []
            def __init_subclass__(cls, *, label, **options):
                super().__init_subclass__(**options)
                Plugin.known.append(label)
            @abc.abstractmethod
            def run(self): ...

        class First(Plugin, label="first"):
            def run(self):
                return 1

        T = typing.TypeVar("T")

        class Second(First, typing.Generic[T], label="second"): ...

        class Third(Second[int], label="third"): ...

        def look(given):
            class Inner(First, label="inner"): ...
            found = Plugin.known.pop(), Meta.made.pop()
            Meta.count -= 1
            return *found, given.run(), [*Plugin.known], [*Meta.made], Meta.count, isinstance(given, Plugin)

        for given in (First(), Second(), Third()):
            assert [*parallel(look, backend="processes").map([given] * 3)] == [look(given)] * 3
            assert parallel(look, backend="processes").submit(given).result() == look(given)
        """)
    assert (code, out, err) == (0, "", "")


def test_view_of_memory_is_one_when_it_arrives(run_program):
    """With its format, shape and whether it can be written to; one that cannot be rebuilt is refused by name."""
    code, out, err = run_program("""
        import array
        from parallel_deco import NotPicklableError, parallel

        def look(view):
            return type(view), view.format, view.shape, view.readonly, view.tolist()

        numbers = memoryview(array.array("d", [1, 2, 3, 4]))
        large = memoryview(bytearray(200_000))
        views = [memoryview(b"abc"), numbers, numbers[::2], numbers[:0], numbers.cast("B").cast("d", (2, 2)), large]
        assert list(parallel(look, backend="processes").map(views)) == [look(view) for view in views]
        back = list(parallel(lambda x: memoryview(x), backend="processes").map([b"abc"]))
        assert back == [memoryview(b"abc")]
        import ctypes
        strange = memoryview((ctypes.c_int * 2)())
        try:
            print(list(parallel(look, backend="processes").map([strange])))
        except NotPicklableError as error:
            assert "memoryview" in str(error)
        """)
    assert (code, out, err) == (0, "", "")


def test_module_made_by_hand_is_sent_again_when_it_changed(run_program):
    """It goes by value, like the function that refers to it."""
    code, out, err = run_program("""
        import types
        from parallel_deco import parallel

        module = types.ModuleType("made")
        module.value = 1

        @parallel(backend="processes", max_workers=1)
        def look(_):
            return module.value

        assert list(look.map([0])) == [1]
        module.value = 2
        assert list(look.map([0])) == [2]
        """)
    assert (code, out, err) == (0, "", "")


def test_map_comes_to_its_end_when_a_module_makes_it_at_its_import(backend, run_program, tmp_path):
    """A worker would import the module too, and results of its classes wait here for the import that waits for them."""
    (tmp_path / "early.py").write_text(f"""
import dataclasses
from parallel_deco import parallel

@dataclasses.dataclass
class Result:
    value: int

@parallel(backend={backend!r})
def work(count):
    for number in range(count):
        pass
    return Result(count)

try:
    RESULTS = [result.value for result in work.map([200_000] * 20)]
except TypeError as error:
    RESULTS = str(error)
""")
    code, out, err = run_program("""
        import early
        later = [result.value for result in early.work.map([1] * 5)]
        print(early.RESULTS == [200_000] * 20, "is being imported" in str(early.RESULTS), later == [1] * 5)
        """)
    refused = backend == "processes"
    assert (code, out, err) == (0, f"{not refused} {refused} True\n", "")


@pytest.mark.parametrize("way", ["map", "map in the background", "submit", "partial"])
def test_call_comes_to_its_end_when_arguments_are_of_a_module_that_is_being_imported(
    backend, way, run_program, tmp_path
):
    """Neither the pickling, in another thread, nor the unpickling of results waits for the import that waits for it."""
    (tmp_path / "apart.py").write_text(f"""
from parallel_deco import parallel

def count(value, number):
    for _ in range(number):
        pass
    return value

work = parallel(count, backend={backend!r})
""")
    (tmp_path / "early.py").write_text(f"""
import functools, time
from parallel_deco import parallel
from apart import count, work

class Value:
    pass

def values(work, number, way={way!r}):
    if way == "submit":
        return [future.result() for future in [work.submit(Value(), number) for _ in range(20)]]
    if way == "partial":
        return list(parallel(functools.partial(count, Value()), backend={backend!r}).map([number] * 20))
    results = work.map([Value() for _ in range(20)], [number] * 20)
    if way == "map in the background":
        time.sleep(0.1)
    return list(results)

try:
    RESULTS = [type(value) is Value for value in values(work, 1_000_000)]
except TypeError as error:
    RESULTS = str(error)
""")
    code, out, err = run_program("""
        import early
        later = [type(value) is early.Value for value in early.values(early.work, 1)]
        print(early.RESULTS == [True] * 20, "still being imported" in str(early.RESULTS), later == [True] * 20)
        """)
    refused = backend == "processes"
    assert (code, out, err) == (0, f"{not refused} {refused} True\n", "")


@pytest.mark.parametrize("way", ["function", "values"])
def test_error_says_so_when_an_import_waits_for_a_thread_that_sends_something_of_it(way, run_program, tmp_path):
    """Nobody can see that the import waits; so it is waited for, though not for ever, and once for all that is sent."""
    (tmp_path / "joins.py").write_text(f"""
import threading
from parallel_deco import parallel
from apart import same

class Value:
    pass

def make(number):
    return Value()

def go():
    try:
        if {way!r} == "function":
            list(parallel(make, backend="processes").map(range(4)))
        else:
            list(parallel(same, backend="processes").map([Value() for _ in range(4)]))
    except Exception as error:
        TOLD.append(type(error).__name__)

TOLD = []
thread = threading.Thread(target=go)
thread.start()
thread.join()
""")
    (tmp_path / "apart.py").write_text("def same(value):\n    return value\n")
    program = """
        import time
        from parallel_deco import _importing
        _importing.PATIENCE = 1.5
        began = time.monotonic()
        import joins
        print(joins.TOLD, time.monotonic() - began < 8)
        """
    assert run_program(program) == (0, "['NotPicklableError'] True\n", "")


def test_modules_that_another_thread_imports_are_waited_for(backend, run_program, tmp_path):
    """A function and values of such a module travel as ever; nothing is refused that will be there in a moment."""
    (tmp_path / "slow.py").write_text("""
import builtins, time

class Value:
    pass

def same(value):
    return value

if hasattr(builtins, "begun"):  # in the program, not in its workers
    begun.set()
    sent.wait()
    time.sleep(0.1)
""")
    program = f"""
        import builtins, sys, threading
        from parallel_deco import parallel
        begun = builtins.begun = threading.Event()
        sent = builtins.sent = threading.Event()
        importing = threading.Thread(target=__import__, args=("slow",))
        importing.start()
        begun.wait()
        slow = sys.modules["slow"]
        def same(value):
            return value
        def send():
            options = dict(backend={backend!r}, max_workers=2)
            work, own = parallel(same, **options), parallel(slow.same, **options)
            sent.set()
            values = [*work.map([slow.Value() for _ in range(4)]), work.submit(slow.Value()).result()]
            return values + [*own.map([1] * 4), own.submit(1).result()]
        values = send()
        print([type(value).__name__ for value in values])
        importing.join()
        """
    expected = str(["Value"] * 5 + ["int"] * 5)
    assert run_program(program) == (0, f"{expected}\n", "")


def test_worker_does_not_import_what_it_only_needs_for_a_warning_filter(run_program, tmp_path):
    """It has the filter from when something imports the module of its category, as a heavy library's often is."""
    (tmp_path / "heavy.py").write_text("class Mine(Warning): pass\nclass Other(Warning): pass\n")
    program = """if True:
    import sys, warnings
    import heavy
    from parallel_deco import parallel
    warnings.filterwarnings("error", category=heavy.Mine)
    warnings.filterwarnings("ignore", category=heavy.Other)
    def has(name):
        return name in sys.modules
    def warn(name):
        import importlib
        warnings.warn("so", getattr(importlib.import_module("heavy"), name))
        return name
    options = {"backend": "processes", "max_workers": 1, "shared": False}
    print(parallel(has, **options).submit("heavy").result())
    print(parallel(warn, **options).submit("Other").result())
    print(type(parallel(warn, **options).submit("Mine").exception()).__name__)
    print(parallel(has, **options).submit("heavy").result())
    """
    assert run_program(program) == (0, "False\nOther\nMine\nTrue\n", "")


def test_worker_has_the_filters_of_the_program_when_a_category_is_found_beside_the_script(run_program, tmp_path):
    """It is looked for when the paths are known; where it cannot be had, the worker keeps what it has, and works."""
    (tmp_path / "own.py").write_text("class Own(UserWarning):\n    pass\n")
    (tmp_path / "gone.py").write_text("class Gone(UserWarning):\n    pass\n")
    code, out, err = run_program("""
        import os, warnings
        import gone, own
        from parallel_deco import parallel

        def warned(x):
            warnings.warn("careful", own.Own)
            return x

        warnings.simplefilter("error", own.Own)
        try:
            print(list(parallel(warned, backend="processes").map([1])))
        except own.Own as warning:
            print("an error:", warning)
        os.remove(gone.__file__)
        warnings.simplefilter("ignore", gone.Gone)
        print(list(parallel(abs, backend="processes").map([-1, -2])))
        """)
    assert (code, out, err) == (0, "an error: careful\n[1, 2]\n", "")


def test_worker_has_the_callers_state_when_a_function_refers_to_a_method_in_c(run_program):
    """What it is bound to may change, as a dictionary does whose `get` is kept."""
    code, out, err = run_program("""
        from parallel_deco import parallel

        table = {1: "old"}
        get = table.get
        function = parallel(lambda x: get(x), backend="processes")
        print(list(function.map([1])))
        table[1] = "new"
        print(list(function.map([1])))
        """)
    assert (code, out, err) == (0, "['old']\n['new']\n", "")


def test_function_is_loaded_again_when_what_kept_it_from_that_has_gone(run_program, tmp_path):
    """A module that cannot be imported now may be later, and the same worker then runs the function."""
    (tmp_path / "late.py").write_text("import os\nopen(os.environ['GATE']).close()\ndef double(x):\n    return 2 * x\n")
    code, out, err = run_program("""
        import os, sys
        os.environ["GATE"] = os.path.join(os.getcwd(), "gate")
        open(os.environ["GATE"], "w").close()
        import late
        from parallel_deco import parallel

        function = parallel(late.double, backend="processes", max_workers=1)
        os.remove(os.environ["GATE"])
        try:
            list(function.map([1]))
        except FileNotFoundError:
            print("not yet")
        open(os.environ["GATE"], "w").close()
        print(list(function.map([1])))
        """)
    assert (code, out, err) == (0, "not yet\n[2]\n", "")


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no anonymous shared memory here")
def test_function_is_sent_again_when_a_worker_had_no_room_for_a_buffer_of_it(run_program):
    """What was lost does not come back by loading the function once more; the next time it goes another way."""
    program = """
        import os, resource, sys
        import numpy as np
        from parallel_deco import parallel

        options = {"backend": "processes", "max_workers": 1, "chunksize": 1}

        def fill(_):
            import numpy  # it has no descriptors for that later
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
            sys.filled = []
            while True:
                try:
                    sys.filled.append(os.open("/dev/null", os.O_RDONLY))
                except OSError:
                    return len(sys.filled) > 0

        print(list(parallel(fill, **options).map([0])))
        array = np.ones(100_000)
        results = list(parallel(lambda i: float(array[i]), **options).map(range(20), return_exceptions=True))
        print(type(results[0]).__name__, results[-1])
    """
    assert run_program(program) == (0, "[True]\nOSError 1.0\n", "")


def test_segments_of_multiprocessing_stay_when_workers_end(run_program):
    """Workers tell the caller's tracker of what they attach, as children of `multiprocessing` do."""
    program = """
    import parallel_deco
    from multiprocessing.shared_memory import SharedMemory
    from parallel_deco import parallel

    def fill(name, position):
        segment = SharedMemory(name=name)
        segment.buf[position] = position + 1
        segment.close()

    segment = SharedMemory(create=True, size=8)
    for half in (range(4), range(4, 8)):
        list(parallel(fill, backend="processes").starmap([(segment.name, position) for position in half]))
        parallel_deco.shutdown()
    print(list(segment.buf[:8]))
    segment.close()
    segment.unlink()
    """
    assert run_program(program) == (0, "[1, 2, 3, 4, 5, 6, 7, 8]\n", "")


def test_proxies_of_a_manager_work_when_they_are_arguments(run_program):
    """Workers have what they prove with that they belong to the caller."""
    program = """
    import multiprocessing
    from parallel_deco import parallel

    def enter(table, x):
        table[x] = 2 * x

    if __name__ == "__main__":
        with multiprocessing.Manager() as manager:
            table = manager.dict()
            list(parallel(enter, backend="processes").starmap([(table, x) for x in range(4)]))
            print(sorted(table.items()))
    """
    assert run_program(program) == (0, "[(0, 0), (1, 2), (2, 4), (3, 6)]\n", "")


def test_tracebacks_and_warnings_name_the_file_when_the_function_is_a_scripts(run_program):
    """And its line, although the function goes by value."""
    program = """
    import sys, traceback, warnings
    from parallel_deco import parallel

    @parallel(backend="processes")
    def work(x):
        warnings.warn("look")
        return 1 / x

    try:
        list(work.map([0]))
    except ZeroDivisionError as error:
        text = "".join(traceback.format_exception(error))
    print(f'File "{__file__}", line 8, in work' in text, "return 1 / x" in text)
    """
    code, out, err = run_program(program)
    assert (code, out) == (0, "True True\n")
    assert re.search(r"\.py:7: UserWarning: look", err)


@pytest.mark.parametrize("how", ["-c", "-"])
def test_warnings_are_shown_when_the_program_has_no_file(how, tmp_path):
    """They come from a module that nobody can name."""
    program = (
        "import warnings\nfrom parallel_deco import parallel\n"
        "def work(x):\n    warnings.warn('look')\n    return x\n"
        "print(list(parallel(work, backend='processes').map([1])))\n"
    )
    command = [sys.executable, how, *([program] if how == "-c" else [])]
    done = subprocess.run(command, input=program, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[1]\n"
    assert "UserWarning: look" in done.stderr


def test_attributes_travel_when_they_were_set_on_a_parallel_function(run_program):
    """The function may ask for them, as in the loop; and they stay with other options."""
    program = """
    from parallel_deco import parallel

    @parallel(backend="processes")
    def work(x):
        return x * work.scale

    work.scale = 3
    print(list(work.map([1, 2])), list(work.options(max_workers=1).map([1, 2])), work.options(chunksize=1).scale)
    """
    assert run_program(program) == (0, "[3, 6] [3, 6] 3\n", "")


def test_classes_are_made_when_their_bodies_use_names_of_the_script(run_program):
    """The body of a class within a function looks names up as no function does."""
    program = """
        import dataclasses
        import math
        from dataclasses import field
        from parallel_deco import parallel

        LIMIT = 3

        def first():
            return LIMIT

        @parallel(backend="processes")
        def make(x):
            @dataclasses.dataclass
            class Point:
                x: float = field(default=math.pi)
                limit: "int" = first()

                class Inner:
                    low = [LIMIT - one for one in range(LIMIT)][-1]

            return Point().limit + Point.Inner.low + x

        @parallel(backend="processes")
        def adder(x):
            return (lambda: type("Made", (), {"at": LIMIT}))().at + x

        print([*make.map(range(2)), *adder.map(range(2))])
    """
    assert run_program(program) == (0, "[4, 5, 3, 4]\n", "")


NAMED_ONLY = """
import functools
import struct
import sys
import typing
import weakref
from parallel_deco import parallel

UserId = typing.NewType("UserId", int)
P = typing.ParamSpec("P")
Ts = typing.TypeVarTuple("Ts")
WORD = struct.Struct("<H")

@functools.cache
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

@functools.lru_cache(maxsize=3, typed=True)
def tripled(x):
    return 3 * x

class Circle:
    def __init__(self, radius):
        self.radius = radius

    @functools.cached_property
    def area(self):
        return 3 * self.radius**2

    @functools.lru_cache
    def scaled(self, factor):
        return self.radius * factor

@functools.singledispatch
def kind(x):
    return "other"

@kind.register
def _(x: int):
    return "int"

class Key:
    pass

KEY = Key()
WEAK = weakref.WeakKeyDictionary({KEY: 5})
VALUES = weakref.WeakValueDictionary({"key": KEY})

CASES = {
    "cached": lambda x: (fibonacci(50 + x), fibonacci.__name__, fibonacci.cache_info().maxsize),
    "cached with options": lambda x: (tripled(x), tripled.cache_parameters(), tripled.cache_info().misses > 0),
    "the function itself is cached": tripled,
    "a cached method": lambda x: Circle(x).scaled(2),
    "a cached property": lambda x: Circle(x).area,
    "dispatched": lambda x: (kind(x), kind("a")),
    "a struct": lambda x: WORD.pack(x),
    "weak keys": lambda x: WEAK[KEY],
    "weak values": lambda x: VALUES["key"] is KEY,
    "a new type": lambda x: (UserId(x), UserId.__name__, UserId.__module__, UserId.__supertype__),
    "parameters": lambda x: (P.__name__, Ts.__name__),
}
if sys.version_info >= (3, 12):
    exec("type Row[T] = list[T]")
    CASES["an alias"] = lambda x: (Row.__name__, Row.__value__.__origin__, Row[int].__args__)
"""


def test_what_a_script_defines_travels_when_pickle_has_only_its_name(run_program):
    """Functions with caches above all; a worker does not run the script."""
    program = f"""{NAMED_ONLY}
for name, case in CASES.items():
    for decorated in (parallel(case, backend="processes"), parallel(case, backend="processes").options()):
        assert [*decorated.map(range(3))] == [*map(case, range(3))], name
print("same")
"""
    assert run_program(program) == (0, "same\n", "")


def test_what_an_importable_module_defines_is_found_there_when_pickle_has_only_its_name(run_program, tmp_path):
    """No copy is made of it: a cache is that of the worker's module."""
    (tmp_path / "named.py").write_text(NAMED_ONLY)
    code, out, err = run_program("""
        import named
        from parallel_deco import parallel

        def same(values, _):
            return [value is getattr(named, name) for name, value in values.items()]

        values = {name: getattr(named, name) for name in ("UserId", "P", "Ts", "fibonacci", "tripled")}
        print(*parallel(same, backend="processes").starmap([(values, 0), (values, lambda: 0)]))
        """)
    assert (code, out, err) == (0, f"{[True] * 5} {[True] * 5}\n", "")


def test_text_is_there_when_a_map_ends_although_its_line_does_not(run_program):
    """What a worker has printed is not kept beyond the batch."""
    program = """
    import contextlib, io
    from parallel_deco import parallel

    @parallel(backend="processes", max_workers=1)
    def work(x):
        print(x, end=" ")

    list(work.map(range(3)))
    print("|")
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        list(work.map(range(3)))
    print(repr(text.getvalue()))
    """
    assert run_program(program) == (0, "0 1 2 |\n'0 1 2 '\n", "")


def test_no_more_workers_start_than_there_are_items():
    """However many may."""
    parallel_deco.shutdown()
    assert list(parallel(abs, backend="processes", max_workers=10**9).map([-1, -2, -3])) == [1, 2, 3]
    assert pools.processes().width <= 3


def test_default_of_a_context_variable_travels_when_its_class_is_the_scripts(run_program):
    """It is there in a worker, also where it leads back to the variable, and follows what becomes of its class."""
    program = """
        from contextvars import ContextVar
        from parallel_deco import parallel

        class Settings:
            n = 3

            @classmethod
            def now(cls):
                return VAR.get()

        VAR = ContextVar("VAR", default=Settings())
        OTHER = ContextVar("OTHER", default=[VAR])

        @parallel(backend="processes")
        def add(x):
            return VAR.get().n + x

        @parallel(backend="processes")
        def same(x):
            return OTHER.get()[0] is VAR and Settings.now() is VAR.get()

        print([*add.map([1, 2]), *same.map([1])])
        Settings.n = 5
        print([*add.map([1, 2]), *same.map([1])])
        changed = Settings()
        changed.n = 7
        VAR.set(changed)
        print([*add.map([1, 2]), *same.map([1])])
    """
    assert run_program(program) == (0, "[4, 5, True]\n[6, 7, True]\n[8, 9, True]\n", "")


ENUMERATIONS = """
import dataclasses, datetime, decimal, enum
from parallel_deco import parallel

class Planet(enum.Enum):
    MERCURY = (3.303e23, 2.4397e6)
    EARTH = (5.976e24, 6.37814e6)
    def __init__(self, mass, radius):
        self.mass, self.radius = mass, radius
    @property
    def gravity(self):
        return 6.673e-11 * self.mass / self.radius**2

class Coordinate(bytes, enum.Enum):
    def __new__(cls, value, label):
        made = bytes.__new__(cls, [value])
        made._value_, made.label = value, label
        return made
    PX = (0, "P.X")
    PY = (1, "P.Y")

class AutoNumber(enum.Enum):
    def __new__(cls, *args):
        made = object.__new__(cls)
        made._value_ = len(cls.__members__) + 1
        return made

class Colour(AutoNumber):
    RED = ()
    BLUE = ()

@dataclasses.dataclass
class Size:
    high: int
    def __hash__(self):
        return self.high

class Sized(Size, enum.Enum):
    SMALL = 5
    LARGE = 9

class Described(enum.IntEnum):
    def __new__(cls, value, text):
        made = int.__new__(cls, value)
        made._value_, made.__doc__ = value, text
        return made
    ONE = 1, "the first"
    TWO = 2, "the second"

class Alias(enum.Enum):
    A = 1
    B = 1
    C = 2
    @classmethod
    def _missing_(cls, value):
        return cls.C

class Pair(tuple, enum.Enum):
    LEFT = (1, 2)
    RIGHT = (3, 4)

class Text(str, enum.Enum):
    def _generate_next_value_(name, *_):
        return name.lower()
    FIRST = enum.auto()
    SECOND = enum.auto()

class Later(enum.Enum):
    X = 1
Later.X.note = "set afterwards"

class Flags(enum.Flag):
    R = 1
    W = 2
    RW = 3

Made = enum.Enum("Made", "P Q")

class Exact(decimal.Decimal, enum.Enum):
    HALF = "1.5"

class Span(datetime.timedelta, enum.Enum):
    DAY = 1, 0

class Day(datetime.date, enum.Enum):
    NEW_YEAR = 2000, 1, 1

class Items(list, enum.Enum):
    SOME = [1, 2]

class Table(dict, enum.Enum):
    ONE = {"a": 1}

class Fixed(frozenset, enum.Enum):
    PAIR = {1, 2}

@dataclasses.dataclass(slots=True)
class Point:
    x: int

class Points(Point, enum.Enum):
    ORIGIN = 7

class Meta(enum.EnumMeta):
    def __contains__(cls, value):
        return value == 55

class Contains(enum.Enum, metaclass=Meta):
    A = 1

class Outer:
    class Inner(enum.Enum):
        I = 1

CASES = [
    lambda _: [(p.name, p.value, p.gravity) for p in Planet],
    lambda _: [(c, c.label, c.value, bytes(c), Coordinate(0)) for c in Coordinate][0][1:],
    lambda _: [(c.name, c.value) for c in Colour],
    lambda _: [(s.name, s.high) for s in Sized],
    lambda _: [(d.name, d + 1, d.__doc__, Described(2).name) for d in Described],
    lambda _: (Alias["B"].name, list(Alias.__members__), Alias.A is Alias.B, Alias(7).name),
    lambda _: [(p.name, p.value, p[0], len(p)) for p in Pair],
    lambda _: [(t.name, t.value, t.upper()) for t in Text],
    lambda _: Later.X.note,
    lambda _: (Flags.R | Flags.W).name,
    lambda _: [m.value for m in Made],
    lambda _: repr(Outer.Inner.I.__class__.__qualname__),
    lambda _: (Exact.HALF + 1, Exact.HALF.value, Span.DAY.days, Day.NEW_YEAR.isoformat()),
    lambda _: (list(Items.SOME), dict(Table.ONE), sorted(Fixed.PAIR), Points.ORIGIN.x, 55 in Contains, 1 in Contains),
]
MEMBERS = [Planet.EARTH, Coordinate.PY, Colour.BLUE, Sized.LARGE, Described.TWO, Alias.B, Pair.RIGHT, Text.FIRST]
"""


def test_enumerations_of_a_script_are_the_same_when_they_travel(run_program):
    """Whatever their `__init__` and `__new__` do; and what comes back is the member itself."""
    program = f"""{ENUMERATIONS}
for number, case in enumerate(CASES):
    [got] = parallel(case, backend="processes").map([0])
    assert got == case(0), (number, got, case(0))
for member, back in zip(MEMBERS, parallel(lambda member: member, backend="processes").map(MEMBERS)):
    assert back is member, (member, back)
print("same")
"""
    assert run_program(program) == (0, "same\n", "")


def test_open_text_file_is_refused_when_it_would_be_copied(tmp_path):
    """What is written to a copy is lost, and each copy begins with the same line; auto keeps it here."""
    path = tmp_path / "lines"
    path.write_text("".join(f"{number}\n" for number in range(40)))
    with path.open() as file, pytest.raises(NotPicklableError, match="open text file"):
        list(parallel(next_line, backend="processes").map([file] * 4))
    with path.open() as file:
        assert list(parallel(next_line).map([file] * 40)) == [f"{number}\n" for number in range(40)]


def next_line(file):
    """Read a line, after a while."""
    burn(0.002)
    return file.readline()


def test_weak_containers_are_full_when_they_have_travelled():
    """What is in them may be held by nobody there."""
    key, value = Thing(1), Thing(2)
    weak = [weakref.WeakSet([key]), weakref.WeakKeyDictionary({key: 1}), weakref.WeakValueDictionary({1: value})]
    assert list(parallel(len, backend="processes").map(weak)) == [1, 1, 1]


def test_class_of_a_module_made_by_hand_travels_when_it_stands_in_the_place_of_another(run_program, tmp_path):
    """Under the same name, and nothing else was imported meanwhile."""
    (tmp_path / "settings.py").write_text("class C:\n    def of(self):\n        return 'file'\n")
    program = """
    import sys, types
    from parallel_deco import parallel
    import settings

    ask = parallel(lambda x: x.of(), backend="processes")
    print(*ask.map([settings.C()]))
    made = types.ModuleType("settings")
    exec("class C:\\n    def of(self):\\n        return 'hand'", made.__dict__)
    sys.modules["settings"] = made
    print(*ask.map([made.C()]))
    """
    assert run_program(program) == (0, "file\nhand\n", "")


def test_reload_is_followed_when_as_many_modules_have_gone_as_have_come(run_program, tmp_path):
    """How many there are says nothing."""
    (tmp_path / "helper.py").write_text("def f(x):\n    return 1\n")
    program = """
    import importlib, json.tool, os, sys
    from parallel_deco import parallel

    sys.dont_write_bytecode = True
    work = parallel(lambda x: __import__("helper").f(x), backend="processes")
    list(parallel(abs, backend="processes").map([1]))
    del sys.modules["json.tool"]
    import helper
    print(*work.map([0]))
    with open("helper.py", "w") as file:
        file.write("def f(x):\\n    return 22\\n")
    importlib.invalidate_caches()
    importlib.reload(helper)
    print(*work.map([0]))
    """
    assert run_program(program) == (0, "1\n22\n", "")


def test_others_go_on_when_a_reload_has_failed(run_program, tmp_path):
    """The program goes on with the module as it was, and so does a worker that has it, with a warning."""
    (tmp_path / "edited.py").write_text("def f(x):\n    return 1\n")
    program = """
    import importlib, sys, warnings
    from parallel_deco import parallel
    import edited

    warnings.simplefilter("ignore")
    sys.dont_write_bytecode = True
    alone = {"backend": "processes", "max_workers": 1}  # one worker: another would import the module as it is now
    own, other = parallel(edited.f, **alone), parallel(lambda x: x, **alone)
    print(*own.map([0]), *other.map([0]))
    with open("edited.py", "w") as file:
        file.write("def f(x:\\n")
    try:
        importlib.reload(edited)
    except SyntaxError:
        print(*own.map([0]), *other.map([0]))
    """
    assert run_program(program) == (0, "1 0\n1 0\n", "")


def test_modules_of_an_archive_are_found_when_its_path_is_relative(run_program, tmp_path):
    """No file leads to them, and none is looked for."""
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("inside.py", "class C:\n    pass\n\ndef f(x):\n    return x + 1\n")
    program = """
    import sys
    sys.path.insert(0, "some.zip")
    import inside
    from parallel_deco import parallel

    print(*parallel(inside.f, backend="processes").map([1]))
    print(*parallel(lambda c: type(c).__name__, backend="processes").map([inside.C()]))
    """
    assert run_program(program) == (0, "2\nC\n", "")


class Exits:
    """Ends the program when it is pickled."""

    def __reduce__(self):
        raise SystemExit("pickled")


def raises_what_exits(x):
    """Raise an exception that cannot be packed."""
    raise ValueError("wrong", Exits() if x == 1 else x)


def test_worker_lives_when_packing_an_exception_would_end_it():
    """The others of its batch have run once, and their errors come."""
    function = parallel(raises_what_exits, backend="processes", chunksize=4, max_workers=1)
    errors = list(function.map(range(4), return_exceptions=True))
    assert [type(error) for error in errors] == [ValueError] * 4
    assert [error.args[0] for error in errors] == ["wrong"] * 4


class Refused(Exception):
    """Is made of other arguments than it keeps."""

    def __init__(self, what, why):
        super().__init__(f"{what}: {why}")
        self.what = what


def refuses(x):
    """Return an exception, alone or beside a result."""
    return Refused(x, "no") if x % 2 else (x, Refused(x, "no"))


def test_exception_arrives_whole_when_it_is_returned():
    """As from the plain loop, though pickle would call its `__init__` with the text."""
    (_, zero), one = parallel(refuses, backend="processes").map(range(2))
    assert (type(zero), str(zero), zero.what) == (Refused, "0: no", 0)
    assert (type(one), str(one), one.what) == (Refused, "1: no", 1)


def returns_what_cannot_travel(x):
    """Return an exception with a lock."""
    error = Refused(x, "no")
    error.lock = threading.Lock()
    return error


def test_returned_exception_is_refused_when_something_in_it_cannot_travel():
    """It is a result, of which nothing gets lost in silence."""
    (error,) = parallel(returns_what_cannot_travel, backend="processes").map([1], return_exceptions=True)
    assert type(error) is NotPicklableError


def test_printed_text_is_as_the_callers_when_it_has_reconfigured_its_stream(run_program):
    """A letter that the terminal has not is no error of the item's."""
    program = """
    import sys
    from parallel_deco import parallel

    work = parallel(lambda x: print("x\\u00e9"), backend="processes")
    sys.stdout.reconfigure(errors="replace")
    list(work.map([0]))
    sys.stdout.reconfigure(errors="xmlcharrefreplace")
    list(work.map([0]))
    """
    assert run_program(program, environment={"PYTHONIOENCODING": "ascii"}) == (0, "x?\nx&#233;\n", "")


REGISTERED = """
    import csv, enum, logging, os, sys
    from parallel_deco import parallel

    class Name(enum.StrEnum):
        PIPE = "pipe"

    csv.register_dialect("mine", delimiter="|", quotechar="'", skipinitialspace=True)
    csv.register_dialect(Name.PIPE, delimiter="|")
    logging.addLevelName(25, "NOTICE")
    logging.addLevelName(25, "REMARK")

    def read(line):
        import csv
        return next(csv.reader([line], dialect="mine"))

    def known(_):
        import csv, logging
        import local
        levels = [logging.getLevelName(name) for name in (25, "NOTICE", "REMARK", 50)]
        return sorted(csv.list_dialects()), levels, csv.get_dialect("excel").delimiter

    def imported(names):
        return [name in sys.modules for name in names]

    options = dict(backend="processes", max_workers=1)
    print(parallel(imported, **options).submit(["csv"]).result())
    print(list(parallel(read, **options).map(["1| '2|3'"])), parallel(known, **options).submit(0).result())
    csv.unregister_dialect("mine")
    csv.register_dialect("excel", delimiter=";")
    logging.addLevelName(25, "OTHER")
    print(parallel(known, **options).submit(0).result())
    """


def test_worker_has_the_dialects_and_the_names_of_levels_of_the_program(run_program, tmp_path):
    """As they are when work is sent, beside what modules there register; none is imported just for that."""
    (tmp_path / "local.py").write_text("import csv\ncsv.register_dialect('local', delimiter='!')\n")
    out = """[False]
[['1', '2|3']] (['excel', 'excel-tab', 'local', 'mine', 'unix'], ['REMARK', 25, 25, 'CRITICAL'], ',')
(['excel', 'excel-tab', 'local', 'unix'], ['OTHER', 25, 25, 'CRITICAL'], ';')
"""
    assert run_program(REGISTERED) == (0, out, "")


PATCHED = """
    import pathlib, sys, types
    import helpers
    from parallel_deco import parallel

    # As IPython's autoreload does from version 9 on: new code for the functions that are there, no new module.
    reloader = types.SimpleNamespace(modules_mtimes={}, failed={})
    magics = types.SimpleNamespace(registry={"AutoreloadMagics": types.SimpleNamespace(_reloader=reloader)})
    sys.modules["IPython"] = types.ModuleType("IPython")
    sys.modules["IPython"].get_ipython = lambda: types.SimpleNamespace(magics_manager=magics)
    sys.modules["IPython.extensions.autoreload"] = types.ModuleType("autoreload")

    def patch(text):
        path = pathlib.Path(helpers.__file__)
        path.write_text(text)
        reloader.modules_mtimes["helpers"] = len(patches)
        patches.append(text)
        names = {}
        try:
            exec(compile(text, path, "exec"), names)
        except SyntaxError:
            reloader.failed[helpers.__file__] = len(patches)
            return
        helpers.plain.__code__ = names["plain"].__code__
        helpers.Tool.method.__code__ = names["Tool"].method.__code__
        helpers.CONSTANT = names["CONSTANT"]

    def work(x):
        return helpers.plain(), helpers.Tool().method(), helpers.CONSTANT

    patches = []
    text = pathlib.Path(helpers.__file__).read_text()
    options = dict(backend="processes", max_workers=1)
    for step in ("1", "22", "22", "(", "333"):
        print(parallel(work, **options).submit(0).result(), parallel(helpers.plain, **options).submit().result())
        patch(text.replace("1", step))
"""


def test_worker_follows_when_code_was_put_into_functions_that_are_there(run_program, tmp_path):
    """As IPython does with what was edited; where that failed, nothing has changed."""
    (tmp_path / "helpers.py").write_text("""
import abc
CONSTANT = 1
def plain():
    return 'plain', 1
class Tool(abc.ABC):
    def method(self):
        return 'method', 1
""")
    lines = "".join(f"(('plain', {x}), ('method', {x}), {x}) ('plain', {x})\n" for x in (1, 1, 22, 22, 22))
    assert run_program(PATCHED) == (0, lines, "")


UNNAMED = """
import collections, dataclasses, enum

def made():
    class Missing(Exception):
        pass
    return Missing

def local(x):
    class Local(int):
        pass
    return Local(x)

class Job:
    Mode = enum.Enum("Mode", "FAST SLOW")
    Pair = collections.namedtuple("Pair", "a b")

Missing = made()
Hidden = made()
Hidden.__module__ = "builtins"
Point = collections.namedtuple("P", "x y")
Record = dataclasses.make_dataclass("R", ["x"])

def values(x):
    return [Job.Mode.FAST, Job.Pair(x, 2), Point(x, 1), Record(x)]

def are_ours(given):
    return given == values(1) and [*map(type, given)] == [*map(type, values(1))]

def fail(kind):
    raise {"missing": Missing, "hidden": Hidden}[kind](kind)
"""


def test_classes_are_the_workers_own_when_their_names_lead_nowhere(run_program, tmp_path):
    """Made by functions, but there in a module that the worker imports too: on the way there, and on the way back."""
    (tmp_path / "unnamed.py").write_text(UNNAMED)
    program = """
    import unnamed
    from parallel_deco import parallel

    options = dict(backend="processes", max_workers=1)
    there = parallel(unnamed.values, **options).submit(1).result()
    print(there == unnamed.values(1), [*map(type, there)] == [*map(type, unnamed.values(1))])
    print(parallel(unnamed.are_ours, **options).submit(there).result())
    for kind, error in ("missing", unnamed.Missing), ("hidden", unnamed.Hidden):
        print(type(parallel(unnamed.fail, **options).submit(kind).exception()) is error)
    print(parallel(unnamed.local, **options).submit(3).result() + 1)
    """
    assert run_program(program) == (0, "True True\nTrue\nTrue\nTrue\n4\n", "")


ROWS = """
import collections, functools, re

_Row = None

def parse(header):
    global _Row
    if _Row is None or _Row._fields != tuple(header):
        _Row = collections.namedtuple("Row", header)
    return [_Row(*range(len(header)))]

def make(number):
    class Made:
        def value(self):
            return number
    return Made

Current = make(1)

def splitting(separator):
    class Splitting:
        pattern = re.compile(separator)
        split = staticmethod(functools.partial(str.split, sep=separator))
    return Splitting

Split = splitting(",")

def circle():
    class Circle:
        prime = 2**99_999 - 1
        nodes = [[] for _ in range(40)]
        for node in nodes:
            node.extend(nodes)
    return Circle

Round = circle()

def value_of(instance):
    return instance.value(), type(instance) is Current
"""


def test_class_is_made_in_a_worker_when_what_is_in_its_place_is_another(run_program, tmp_path):
    """The same code has made both, of something else."""
    (tmp_path / "rows.py").write_text(ROWS)
    program = """
    import rows
    from parallel_deco import parallel

    options = dict(backend="processes", max_workers=1)
    rows.parse(["id", "name"])
    parse = parallel(rows.parse, **options)
    print(parse.submit(["lat", "lon"]).result(), parse.submit(["a", "b", "c"]).result())
    value_of = parallel(rows.value_of, **options)
    print(value_of.submit(rows.Current()).result(), value_of.submit(rows.make(1)()).result()[0])
    rows.Current = rows.make(5)
    print(value_of.submit(rows.Current()).result())
    rows.Split = rows.splitting("b")
    splits = parallel(lambda given: (given.pattern.pattern, given.split("a,b")), **options)
    print(splits.submit(rows.Split()).result())
    print(parallel(lambda given: len(given.nodes[0]), **options).submit(rows.Round()).result())
    """
    out = """[Row(lat=0, lon=1)] [Row(a=0, b=1, c=2)]
(1, True) 1
(5, False)
('b', ['a,', ''])
40
"""
    assert run_program(program) == (0, out, "")


LEAVES = """
import sys
from collections import namedtuple
Point = namedtuple("P", "x y")
if __name__ != "__main__" and "parallel_deco.backends.worker" in sys.modules:
    sys.exit("not here")
"""


def test_class_is_made_in_a_worker_when_its_module_cannot_be_imported_there(run_program, tmp_path):
    """Whatever that raises."""
    (tmp_path / "leaves.py").write_text(LEAVES)
    program = """
    import leaves
    from parallel_deco import parallel
    print(parallel(sum, backend="processes").submit(leaves.Point(1, 2)).result())
    """
    assert run_program(program) == (0, "3\n", "")


def test_class_is_made_in_a_worker_when_only_the_program_has_it_in_a_module(run_program, tmp_path):
    """It was put there later: nothing is found where it is in the program."""
    (tmp_path / "unnamed.py").write_text(UNNAMED)
    program = """
    import unnamed
    from parallel_deco import parallel

    unnamed.Later = type(unnamed.local(1))
    there = parallel(abs, backend="processes").submit(unnamed.Later(-1)).result()
    print(there, type(parallel(max, backend="processes").submit([unnamed.Later(-1)]).result()) is unnamed.Later)
    """
    assert run_program(program) == (0, "1 True\n", "")


SENTINEL = """
import os
os.environ.setdefault("PROGRAM", str(os.getpid()))
if os.environ["PROGRAM"] != str(os.getpid()) and os.environ.get("ALONE"):
    raise SystemExit("not here")
MISSING = object()
_token = None

def get(x):
    return MISSING if x % 2 else x

def known():
    offset = 1

    def known(x):
        value = get(x)
        return "missing" if value is MISSING else value + offset

    return known

def getter(key):
    nothing = MISSING

    def get(row, default=MISSING, *, other=MISSING):
        return default is MISSING and other is MISSING and nothing is MISSING and key

    return get

def started():
    global _token
    _token = object()

    def run(x):
        return _token is not None

    return run
"""


def test_sentinel_of_a_module_is_the_workers_when_a_closure_of_it_travels(run_program, tmp_path):
    """The functions of the module that it calls are there already, and have their own; also as a default, or a cell."""
    (tmp_path / "sentinel.py").write_text(SENTINEL)
    program = """
    import sentinel
    from parallel_deco import parallel
    options = dict(backend="processes", max_workers=1)
    print(list(parallel(sentinel.known(), **options).map(range(4))))
    print(parallel(sentinel.getter("same"), **options).submit({}).result())
    print(parallel(sentinel.started(), **options).submit(1).result())
    """
    assert run_program(program) == (0, "[1, 'missing', 3, 'missing']\nsame\nTrue\n", "")


SENTINELS = """
class _Unset:
    def __repr__(self):
        return "UNSET"

class _Kind:
    __slots__ = ()

class State:
    def __init__(self):
        self.count = 0

MISSING, UNSET, KIND, STATE = object(), _Unset(), _Kind(), State()

def get(name):
    return {"missing": MISSING, "unset": UNSET, "kind": KIND}[name]
"""


def test_sentinel_of_a_module_is_the_workers_when_the_script_has_it(run_program, tmp_path):
    """As a global, a default, in a closure, a container, a class; what has state is as it is in the program."""
    (tmp_path / "sentinels.py").write_text(SENTINELS)
    program = """
    import sentinels
    from parallel_deco import parallel
    from sentinels import MISSING, UNSET as OURS, KIND, STATE

    STATE.count = 3
    TABLE = {"missing": MISSING, "unset": [OURS], "kind": (KIND,)}

    class Config:
        empty = MISSING

    def globally(name):
        return sentinels.get(name) is {"missing": MISSING, "unset": OURS, "kind": KIND}[name], STATE.count

    def default(name, other=MISSING, *, unset=OURS):
        return sentinels.get(name) is {"missing": other, "unset": unset, "kind": TABLE["kind"][0]}[name]

    def enclosing():
        missing = sentinels.MISSING
        return lambda name: sentinels.get("missing") is missing is Config.empty and sentinels.UNSET is TABLE["unset"][0]

    for function in globally, default, enclosing():
        print(list(parallel(function, backend="processes", max_workers=1).map(["missing", "unset", "kind"])))
    """
    assert run_program(program) == (0, "[(True, 3), (True, 3), (True, 3)]\n" + 2 * "[True, True, True]\n", "")


def test_sentinel_is_a_new_one_when_the_module_cannot_be_imported_there(run_program, tmp_path):
    """Whatever that raises."""
    (tmp_path / "sentinel.py").write_text(SENTINEL)
    program = """
    import os
    os.environ["ALONE"] = "yes"
    import sentinel
    from parallel_deco import parallel
    print(parallel(sentinel.getter("same"), backend="processes").submit({}).result())
    """
    assert run_program(program) == (0, "same\n", "")
