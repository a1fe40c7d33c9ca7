"""Values to bytes and back, references to functions, and who is to blame when something cannot travel."""

import contextvars
import enum
import errno
import functools
import gc
import signal
import sys
import threading
import types
import weakref

import pytest

import parallel_deco
from parallel_deco import NotPicklableError, parallel
from parallel_deco.backends import variables
from parallel_deco.backends.culprit import find
from parallel_deco.backends.functions import Functions
from parallel_deco.backends.payload import LARGE, dump, load
from parallel_deco.backends.references import locate, reference


def plain(x):
    """A function that its name leads to."""
    return x


def wrapped(function):
    """Hide a function behind a wrapper, as decorators do."""

    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


@wrapped
def hidden(x):
    """A function that its name does not lead to, but `__wrapped__` does."""
    return x


class Holder:
    """Has a static method, a method, and whatever a test puts into it."""

    @staticmethod
    def static(x):
        """Return x."""
        return x

    def method(self, x):
        """Return x."""
        return x


def test_value_is_equal_when_it_comes_back():
    """Ordinary values survive."""
    value = {"a": [1, 2.5, (None, b"x")], "b": {3}}
    assert load(dump(value)) == value


def test_lambda_works_when_it_comes_back():
    """What the plain pickler refuses goes by value."""
    assert load(dump([lambda x: x + 1]))[0](1) == 2


def test_buffers_are_apart_when_they_are_large():
    """Contiguous buffers from LARGE on are not in the pickle, smaller ones are."""
    numpy = pytest.importorskip("numpy")
    large, small = numpy.zeros(LARGE, "u1"), numpy.zeros(LARGE - 1, "u1")
    buffers = []
    pickled = dump({"x": [large, small, large[::-1]]}, buffers)
    assert [buffer.nbytes for buffer in buffers] == [LARGE]
    assert LARGE < len(pickled) < 3 * LARGE
    copy = load(pickled, [bytearray(buffer) for buffer in buffers])["x"][0]
    assert copy.flags.writeable


def test_buffers_come_once_when_the_plain_pickler_fails_late():
    """A value that needs the second pickler has each buffer once."""
    numpy = pytest.importorskip("numpy")
    buffers = []
    dump((numpy.zeros(LARGE), lambda: 0), buffers)
    assert len(buffers) == 1


@pytest.mark.parametrize("function", [plain, hidden.__wrapped__, hidden, Holder.static, Holder.method, len, str.upper])
def test_reference_leads_back_when_the_name_does(function):
    """A reference is followed to the very same function, through wrappers and classes."""
    where = reference(function)
    assert where is None or locate(where) is function
    assert (where is None) == (function is str.upper)


def test_reference_leads_to_the_same_layer_when_there_are_fewer_around_it(monkeypatch):
    """What was put around a function since its module was imported is not there in a worker."""
    module, layers = sys.modules[__name__], [hidden, hidden.__wrapped__]
    monkeypatch.setattr(module, "hidden", wrapped(hidden))
    there = [reference(layer) for layer in (*layers, module.hidden)]
    monkeypatch.undo()
    assert [locate(where) for where in there[:2]] == layers
    with pytest.raises(AttributeError, match="wrapped as the program's is"):
        locate(there[2])


def test_reference_is_none_when_wrappers_have_no_end(monkeypatch):
    """A function that says it wraps itself goes by value."""
    monkeypatch.setattr(plain, "__wrapped__", plain, raising=False)
    assert reference(plain) is None


def test_reference_is_none_when_the_name_leads_elsewhere():
    """Functions in functions, in hand-made modules, and rebound ones have none."""
    module = types.ModuleType("made_by_hand")
    exec("def f(): pass", vars(module))
    sys.modules["made_by_hand"] = module
    try:
        assert [reference(f) for f in (lambda: 0, module.f, functools.partial(plain))] == [None] * 3
    finally:
        del sys.modules["made_by_hand"]


def test_decorated_function_goes_by_name_when_it_is_inside_a_value():
    """A bare function behind a decorator is found through it, and not copied with its module's globals."""
    assert load(dump([hidden.__wrapped__, lambda: 0]))[0] is hidden.__wrapped__


def test_variable_is_the_same_when_it_comes_back():
    """A context variable of a module goes by its place, another by a number; either is itself again."""
    local = contextvars.ContextVar("local", default=(1,))
    for variable in (local, VARIABLE):
        assert load(dump(variable)) is variable


VARIABLE = contextvars.ContextVar("VARIABLE")


def test_variable_is_made_once_when_it_has_no_place():
    """In another process the number stands for one new variable with the same name and default."""
    made = variables.find("elsewhere", 10**9, dump("default"))
    assert variables.find("elsewhere", 10**9, dump("default")) is made
    assert (made.name, made.get()) == ("elsewhere", "default")


def test_variables_are_told_apart_when_two_threads_meet_them_at_once(monkeypatch):
    """Each has a number of its own, and the same one in both threads."""
    looked, numbered = threading.Barrier(2), []
    search = variables._search

    def search_together(variable):
        found = search(variable)
        looked.wait(30)
        return found

    monkeypatch.setattr(variables, "_search", search_together)
    one, other, both = (contextvars.ContextVar(name) for name in ("one", "other", "both"))
    for pair in (one, other), (both, both):
        threads = [threading.Thread(target=lambda v=variable: numbered.append(dump(v))) for variable in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(load(pickled).name for pickled in numbered) == ["both", "both", "one", "other"]
    assert len(set(numbered)) == 3


def test_variable_is_a_new_one_when_a_worker_has_made_it():
    """It comes back as no other of the caller's, nor of another worker's; the same one twice is one."""
    mine = [contextvars.ContextVar(f"mine {i}") for i in range(3)]
    assert [load(dump(variable)) for variable in mine] == mine
    make = parallel(lambda i: [contextvars.ContextVar("made")] * 2, backend="processes", max_workers=2, chunksize=1)
    made = []
    for _ in range(2):
        for one, same in make.map(range(2)):
            assert one is same
            made.append(one)
        parallel_deco.shutdown()
    assert {variable.name for variable in made} == {"made"}
    assert len(set(made)) == 4


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (threading.Lock(), []),
        ({"a": [1, threading.Lock()]}, ["key 'a'", "element 1"]),
        (functools.partial(plain, threading.Lock()), ["the partial's argument 0"]),
        ((lambda lock: lambda: lock)(threading.Lock()), ["closure variable 'lock'"]),
    ],
)
def test_culprit_is_found_when_it_is_deep_inside(value, path):
    """The way to the innermost part that cannot be pickled is named."""
    found, culprit = find(value)
    assert (found, type(culprit)) == (path, type(threading.Lock()))


def test_culprit_is_an_attribute_when_an_object_has_it():
    """Attributes of objects and of a method's self are named."""
    holder = Holder()
    holder.lock = threading.Lock()
    assert find([holder])[0] == ["element 0", "attribute 'lock'"]
    assert find(holder.method)[0] == ["attribute 'lock' of self"]


class Awkward:
    """Cannot be pickled, hashes, and does not like to be looked at."""

    __slots__ = ("__hidden", "free", "lock")

    def __reduce__(self):
        raise ValueError("no")

    def __repr__(self):
        raise RuntimeError("a __repr__ was called")


class Asked(Awkward):
    """Has a property in the place of a slot."""

    @property
    def lock(self):
        """Fail."""
        raise RuntimeError("a property was asked")


def test_culprit_is_found_when_it_is_in_a_slot():
    """Private ones too; properties are not asked for, and slots may be free."""
    awkward = Asked()
    awkward._Awkward__hidden = threading.Lock()
    assert find([awkward])[0] == ["element 0", "attribute '_Awkward__hidden'"]


def test_culprit_is_found_when_cells_are_empty():
    """Names of a closure that are not yet bound are left out."""

    def inner():
        return later, lock

    lock = threading.Lock()
    path, _ = find(inner)
    later = 0
    assert (path, later) == (["closure variable 'lock'"], 0)


def test_culprit_is_the_innermost_part_that_can_be_looked_into():
    """What the user's own code raises in between ends the search there."""

    class Closed:
        __reduce__ = Awkward.__reduce__

        @property
        def __dict__(self):
            raise RuntimeError("a property was asked")

    closed = Closed()
    assert find([closed]) == (["element 0"], closed)
    key = Awkward()
    assert find({key: threading.Lock()})[0] == [f"a key of type {__name__}.Awkward"]


def test_function_cannot_travel_when_the_cause_has_no_text():
    """The error says so of the function, whatever raised."""

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("a __str__ was called")

    class Holds:
        def __reduce__(self):
            raise Mute

    holds = Holds()
    with pytest.raises(NotPicklableError, match=r"closure variable 'holds': .*Holds \(Mute\)") as caught:
        Functions().prepare(lambda: holds)
    assert caught.value.of_function


def test_value_is_refused_when_its_module_is_being_imported(tmp_path, monkeypatch):
    """By what it refers to: a text that is the module's name does no harm. Another thread waits first."""
    monkeypatch.setattr("parallel_deco._importing.PATIENCE", 0.05)
    (tmp_path / "half_imported.py").write_text("""
import functools, threading
from parallel_deco import NotPicklableError
from parallel_deco.backends.culprit import find
from parallel_deco.backends.functions import Functions
from parallel_deco.backends.payload import dump
from parallel_deco.backends.unfinished import BeingImported

class Value:
    pass

def refused(value):
    try:
        dump(value)
    except BeingImported as error:
        return error.name
    return None

value = Value()
told = [refused(each) for each in ([1, value], Value, refused, lambda: value, __name__, {__name__: len})]
thread = threading.Thread(target=lambda: told.append(refused([value])), daemon=True)
thread.start()
thread.join(30)
path = find([1, value])[0]
try:
    Functions().prepare(functools.partial(print, value))
except NotPicklableError as error:
    of_function = error.of_function
""")
    monkeypatch.syspath_prepend(tmp_path)
    import half_imported

    name = "half_imported"
    del sys.modules[name]
    assert half_imported.told == [name, name, name, name, None, None, name]
    assert (half_imported.path, half_imported.of_function) == (["element 1"], False)


def test_function_is_the_same_when_nothing_changed():
    """A function is made ready once, by reference or by value."""
    functions = Functions()
    factor = 2

    def closure(x):
        return factor * x

    for function in (plain, closure):
        assert functions.prepare(function) is functions.prepare(function)


def test_function_is_another_when_something_immutable_changed():
    """A rebound cell, global or default makes it anew."""
    functions = Functions()
    factor = 2

    def closure(x):
        return factor * x

    keys = [functions.prepare(closure).key]
    factor = 3
    keys.append(functions.prepare(closure).key)
    closure.__defaults__ = (1,)
    keys.append(functions.prepare(closure).key)
    assert len(set(keys)) == 3


def test_function_is_another_when_something_mutable_changed():
    """A list that it refers to is looked at by its contents."""
    functions = Functions()
    state = []

    def closure(x):
        return state

    first = functions.prepare(closure)
    assert functions.prepare(closure) is first
    state.append(1)
    assert functions.prepare(closure).key != first.key


def test_large_array_goes_when_the_program_drops_it():
    """A function is the same with it as long as it is to run somewhere; afterwards nobody holds the array or a copy."""
    np = pytest.importorskip("numpy")
    functions = Functions()
    array = np.zeros(LARGE)

    def closure(x):
        return array

    made = functions.prepare(closure)
    assert functions.prepare(closure) is made
    array[-1] = 1
    keys = {made.key, functions.prepare(closure).key}
    assert (len(keys), bytes(made.buffers[0])) == (2, bytes(array.nbytes))
    array, gone, made = None, weakref.ref(array), None
    gc.collect()
    assert (gone(), functions.dead(keys)) == (None, keys)


class Rate(float):
    """A number that has attributes."""


class Level(enum.IntEnum):
    """Numbers that have none of their own."""

    LOW = 1


def test_function_is_another_when_an_attribute_of_a_number_changed():
    """One of a class of the program's own; numbers of a library's, and members of enumerations, are what they are."""
    functions = Functions()
    rate = Rate(0.5)
    rate.currency = "EUR"

    def closure(x):
        return x * rate, rate.currency

    first = functions.prepare(closure)
    assert functions.prepare(closure) is first
    rate.currency = "USD"
    assert functions.prepare(closure).key != first.key


@pytest.mark.parametrize(
    "make",
    [
        *(lambda: 1.5, lambda: "text", lambda: (None, ...), lambda: Level.LOW, lambda: signal.SIGINT),
        *(lambda: abs, lambda: errno, lambda: pytest.importorskip("numpy").float64(1.5)),
    ],
)
def test_function_is_not_pickled_again_when_what_it_refers_to_cannot_change(make, monkeypatch):
    """To look at it is enough."""
    functions = Functions()
    constant = make()

    def closure(x):
        return constant

    first = functions.prepare(closure)
    monkeypatch.setattr(functions, "_pickled", None)
    assert functions.prepare(closure) is first


def test_function_is_forgotten_when_the_program_drops_it():
    """Keys of functions that are gone are dead, and workers may forget them."""
    functions = Functions()

    def closure(x):
        return x

    key = functions.prepare(closure).key
    assert functions.dead({key}) == set()
    del closure
    assert functions.dead({key}) == {key}


def make_pair():
    """Return a function that a tuple in one of its cells leads back to."""

    def first(x):
        return pair[1](x) if x else deep

    def second(x):
        return pair[0](x - 1)

    pair = (first, second)
    deep = (1, frozenset([second]))
    return first


def make_default():
    """Return a function that its own default leads back to."""

    def function(x, helper=lambda x: function(x)):
        return helper(x)

    return function


@pytest.mark.parametrize("make", [make_pair, make_default])
def test_function_is_forgotten_when_a_tuple_leads_back_to_it(make):
    """It is the same as long as the functions in the tuple are, and keeping those in mind keeps none alive."""
    functions = Functions()
    function = make()
    made = functions.prepare(function)
    key, gone = made.key, weakref.ref(function)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functions, "_pickled", None)
        assert functions.prepare(function) is made
    if function.__defaults__:
        function.__defaults__ = (lambda x, back=function: 0,)
    else:
        function.__closure__[1].cell_contents = (function, abs)
    assert functions.prepare(function).key != key
    del function, made
    gc.collect()
    assert (gone(), functions.dead({key})) == (None, {key})
