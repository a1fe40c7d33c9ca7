"""What functions and values are when they arrive in a worker process, and when they come back to the program."""

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
