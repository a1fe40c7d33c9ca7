"""The face: what `parallel` gives for every kind of callable, and that it stays the function that it was."""

import copy
import functools
import inspect
import pickle
import threading
import typing
import weakref

import cloudpickle
import pytest

import parallel_deco
from parallel_deco import InvalidTypeError, ParallelFunction, parallel
from tests.workloads import Account, Adder, Savings, bare, decorated, double, empty, optioned, plain


def make_closure(amount):
    """Return a function with a closure."""

    def add(x):
        return x + amount

    return add


@pytest.mark.parametrize(("function", "expected"), [(bare, 2), (empty, 3), (optioned, 4)])
def test_decorator_works_when_written_with_or_without_parentheses(function, expected):
    """All three spellings give a ParallelFunction that calls the function."""
    assert isinstance(function, ParallelFunction)
    assert function(1) == expected


def test_call_passes_everything_when_called_directly():
    """Positional, default and keyword arguments arrive as in the bare function."""
    assert (decorated(1), decorated(1, 5), decorated(1, b=5, c=7)) == (6, 9, 13)


def test_call_runs_in_the_callers_thread_when_called_directly():
    """A direct call is an ordinary call."""
    assert parallel(threading.get_ident)() == threading.get_ident()


def test_call_raises_the_functions_own_error_when_arguments_are_wrong():
    """A wrong call reads as if the function had been called."""
    with pytest.raises(TypeError, match=r"plain\(\) missing 1 required positional argument: 'a'"):
        decorated()


def test_exception_passes_unchanged_when_a_direct_call_raises():
    """The exception object itself comes out, with no cause and no note."""
    error = KeyError("mine")

    @parallel
    def fail():
        raise error

    with pytest.raises(KeyError) as caught:
        fail()
    assert caught.value is error
    assert (error.__cause__, getattr(error, "__notes__", [])) == (None, [])


def test_recursion_is_as_deep_as_bare_when_a_function_calls_its_decorated_self():
    """A recursive function keeps nearly all of its depth."""

    @parallel
    def depth(n):
        return 0 if n == 0 else 1 + depth(n - 1)

    assert depth(400) == 400


@pytest.mark.parametrize("name", ["__name__", "__qualname__", "__doc__", "__module__", "__annotations__"])
def test_metadata_is_the_functions_when_decorated(name):
    """The decorated function describes itself as the bare one."""
    assert getattr(decorated, name) == getattr(plain, name)


def test_signature_is_the_functions_when_inspected():
    """inspect sees the parameters of the bare function, bound or not."""
    assert inspect.signature(decorated) == inspect.signature(plain)
    assert list(inspect.signature(Account(1).total).parameters) == ["x", "fee"]
    assert list(inspect.signature(Account.rated).parameters) == ["x"]
    assert list(inspect.signature(Account.square).parameters) == ["x"]


def test_introspection_finds_the_function_when_tools_look():
    """Type hints and the source are those of the bare function."""
    assert typing.get_type_hints(decorated) == typing.get_type_hints(plain)
    assert inspect.getsource(decorated) == inspect.getsource(plain)


def test_wrapped_is_the_bare_function_when_asked():
    """`__wrapped__` is the very object that was decorated."""
    assert decorated.__wrapped__ is plain


def test_attributes_stay_when_the_function_had_some():
    """What was set on the function is seen on the decorated one."""

    def function():
        return None

    function.marker = "kept"
    assert parallel(function).marker == "kept"


def test_repr_names_function_and_backend_when_printed():
    """The repr says what it is."""
    text = repr(optioned)
    assert text.startswith("<parallel_deco.ParallelFunction ")
    assert "optioned" in text
    assert "backend='serial'" in text


def test_functions_are_hashable_and_weakly_referable_when_kept_in_collections():
    """A decorated function can be a key and be held weakly, as a function can."""
    function = parallel(make_closure(1))
    reference = weakref.ref(function)
    assert {function: 1}[function] == 1
    del function
    assert reference() is None


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        pytest.param(lambda x: x * 3, [0, 3, 6, 9], id="lambda"),
        pytest.param(make_closure(5), [5, 6, 7, 8], id="closure"),
        pytest.param(functools.partial(plain, 1, c=0), [1, 2, 3, 4], id="partial"),
        pytest.param(Adder(4), [4, 5, 6, 7], id="callable object"),
        pytest.param(str, ["0", "1", "2", "3"], id="class"),
        pytest.param(abs, [0, 1, 2, 3], id="builtin"),
        pytest.param(Account(10).total.__wrapped__, [10, 11, 12, 13], id="bound method"),
        pytest.param((2).__add__, [2, 3, 4, 5], id="slot wrapper"),
    ],
)
def test_map_and_submit_work_when_any_callable_is_decorated(backend, function, expected):
    """Every kind of callable works on every backend."""
    parallel_function = parallel(function, backend=backend)
    assert list(parallel_function.map(range(4))) == expected
    assert parallel_function.submit(2).result() == expected[2]
    assert parallel_function(1) == expected[1]


def test_cached_function_travels_when_its_name_leads_to_the_decorated_one(backend, functions):
    """What cannot be pickled by value goes by the name of the object that `parallel` made of it."""
    cached = functions.cached.options(backend=backend)
    assert list(cached.map(range(4))) == [0, 1, 4, 9]


def test_methods_are_bound_when_called_on_an_object(backend):
    """A method maps with its own object."""
    account = Account(100)
    total = account.total.options(backend=backend)
    assert account.total(1, fee=3) == 98
    assert list(total.map([1, 2])) == [101, 102]
    assert total.submit(1, fee=50).result() == 51


def test_methods_take_the_object_first_when_called_on_the_class(backend):
    """Seen from the class, a method takes the object as its first argument."""
    total = Account.total.options(backend=backend)
    assert list(total.map([Account(1), Account(2)], [10, 20])) == [11, 22]


def test_methods_keep_objects_apart_when_two_are_submitted_at_once(backend):
    """Calls on different objects, gathered by one function, do not mix."""
    accounts = [Account(1000 * number) for number in range(40)]
    with parallel_deco.config(backend=backend):
        futures = [account.total.submit(7) for account in accounts]
    assert [future.result() for future in futures] == [1000 * number + 7 for number in range(40)]


@pytest.mark.parametrize("owner", [Account, Account(1), Savings, Savings(1)])
def test_class_and_static_methods_work_when_seen_from_class_or_object(backend, owner):
    """Class methods get the class that they are called on; static methods nothing."""
    with parallel_deco.config(backend=backend):
        assert owner.rated(2) == 2 * owner.rate
        assert list(owner.rated.map([1, 2])) == [owner.rate, 2 * owner.rate]
        assert owner.square(3) == 9
        assert list(owner.square.map([1, 2, 3])) == [1, 4, 9]
        assert owner.cube.submit(2).result() == 8


def test_methods_are_the_parents_when_reached_by_super(backend):
    """`super().method.map` works."""
    with parallel_deco.config(backend=backend):
        assert Savings(5).doubled([1, 2]) == [6, 7]


def test_what_was_measured_is_shared_when_a_method_has_many_objects():
    """One object's work informs the next one's."""
    method = Account(1).total
    list(method.options(backend="serial").map(range(10)))
    assert Account(2).total.explain().readings.items == method.explain().readings.items >= 10


@pytest.mark.parametrize("wrap", [lambda f: f, functools.partial, staticmethod], ids=["bare", "partial", "static"])
def test_decorator_refuses_when_the_function_is_a_generator_or_coroutine(wrap):
    """What would only give a generator or a coroutine is refused when decorated, with what to do instead."""

    def generator():
        yield 1

    async def coroutine():
        return 1

    async def asynchronous_generator():
        yield 1

    for function, kind in (
        (generator, "generator function"),
        (coroutine, "coroutine function"),
        (asynchronous_generator, "asynchronous generator function"),
    ):
        with pytest.raises(TypeError, match=kind) as caught:
            parallel(wrap(function))
        assert isinstance(caught.value, parallel_deco.InvalidTypeError)


def test_decorator_refuses_when_calling_the_object_gives_a_coroutine():
    """As for functions."""

    class Coroutine:
        async def __call__(self):
            return 1

    with pytest.raises(parallel_deco.InvalidTypeError, match="coroutine function"):
        parallel(Coroutine())


@pytest.mark.parametrize("thing", [1, "text", [len], property(len), object()], ids=str)
def test_decorator_refuses_when_given_no_callable(thing):
    """Something that cannot be called is refused, and shown."""
    with pytest.raises(parallel_deco.InvalidTypeError, match="parallel decorates functions"):
        parallel(thing)


def test_decorator_refuses_when_options_are_positional():
    """Only the function is positional."""
    with pytest.raises(TypeError):
        parallel(plain, "threads")


def test_decorating_twice_takes_the_bare_function_when_given_a_parallel_function():
    """A decorated function is not wrapped a second time."""
    twice = parallel(decorated, backend="serial")
    assert twice.__wrapped__ is plain
    assert list(twice.map([1])) == [6]


def test_options_give_a_changed_copy_when_called():
    """The copy has the new options, the original its own."""
    changed = optioned.options(backend="threads")
    assert ("backend='threads'" in repr(changed), "backend='serial'" in repr(optioned)) == (True, True)
    assert changed.__wrapped__ is optioned.__wrapped__
    assert list(changed.map([1])) == [4]


def test_options_keep_the_binding_when_a_method_is_changed():
    """A changed method still belongs to its object, and a changed class attribute still binds."""

    class Local:
        def __init__(self, start):
            self.start = start

        @parallel
        def total(self, x):
            return self.start + x

        renamed = total.options(backend="serial")

    assert list(Local(5).total.options(backend="threads").map([1])) == [6]
    assert list(Local(6).renamed.map([1])) == [7]


def test_methods_are_equal_when_object_and_function_are():
    """As with plain methods: callbacks can be found again, sets do not grow."""
    one, other = Account(1), Account(1)
    assert one.total == one.total
    assert one.total != other.total
    assert one.total != one.total.options(max_workers=1)
    assert one.total != one.total.__wrapped__
    assert len({one.total, one.total, other.total}) == 2
    callbacks = [other.total, one.total]
    callbacks.remove(one.total)
    assert callbacks == [other.total]


@pytest.mark.parametrize("name", [*functools.WRAPPER_ASSIGNMENTS, "__self__", "__func__"])
def test_metadata_is_the_methods_when_bound(name):
    """What tools ask of a method, they are told."""
    method = Account(1).total
    missing = object()
    assert getattr(method, name, missing) == getattr(method.__wrapped__, name, missing)


def test_method_of_the_object_itself_is_called_when_it_has_one_of_that_name():
    """Calls that bind nothing see what the object has, and its subclass, and a class that was changed."""

    class Local:
        @parallel
        def name(self):
            return "class"

    class Derived(Local):
        @parallel
        def name(self):
            return f"derived from {super().name()}"

    things = [Local(), Derived(), Local()]
    for _ in range(50):  # CPython adapts to what it meets
        assert [thing.name() for thing in things] == ["class", "derived from class", "class"]
    things[0].name = lambda: "own"
    Derived.name = staticmethod(lambda: "static")
    for _ in range(50):
        assert [thing.name() for thing in things] == ["own", "static", "class"]
    assert [Local.name(thing) for thing in things[1:]] == ["class", "class"]


def test_offered_methods_are_ours_when_the_function_has_attributes_of_those_names(backend):
    """Neither a function's attributes nor a class's methods hide `map`."""

    def function(x):
        return x + 1

    function.map = function.options = {}
    function.label = "mine"
    decorated = parallel(function, backend=backend)
    assert list(decorated.map([1])) == [2]
    assert decorated.options(max_workers=1).label == decorated.label == "mine"
    assert [adder.map for adder in parallel(Mapper, backend=backend).map([1, 2])] == [1, 2]


class Mapper:
    """Has an attribute that is called as a method of ours."""

    def __init__(self, map):
        self.map = map


def test_what_only_the_function_has_is_reached_through_it():
    """A cache's methods, and those of a callable object; not the special ones."""

    @parallel
    @functools.lru_cache
    def cached(x):
        return x

    assert (cached(1), cached(1), cached.cache_info().hits) == (1, 1, 1)
    cached.cache_clear()
    assert cached.cache_info().hits == 0
    assert parallel(Adder(1)).amount == 1
    with pytest.raises(AttributeError, match="no_such_thing"):
        cached.no_such_thing  # noqa: B018
    assert not hasattr(parallel(Adder(1)), "__length_hint__")


def test_binding_stays_when_a_class_method_is_decorated_again():
    """The descriptor is taken over with the function."""

    class Local:
        @parallel
        @classmethod
        def name(cls, x):
            return cls.__name__, x

        @parallel
        @staticmethod
        def same(x):
            return x

        names = parallel(name, max_workers=2)
        sames = parallel(same, max_workers=2)

    assert (Local.names(1), Local().names(2), list(Local.names.map([3]))) == (
        ("Local", 1),
        ("Local", 2),
        [("Local", 3)],
    )
    assert (Local.sames(1), Local().sames(2)) == (1, 2)


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_pickle_gives_the_changed_function_when_options_were_changed(functions, dumps):
    """Copies with other options go by the name of the original."""
    changed = pickle.loads(dumps(functions.decorated.options(max_workers=3)))
    assert changed.__wrapped__ is functions.decorated.__wrapped__
    assert repr(changed._options) == repr(functions.decorated._options.changed(max_workers=3))
    method = pickle.loads(dumps(functions.Scaler(4).scale.options(max_workers=3)))
    assert (method(2), method._options.max_workers) == (10, 3)


def test_pickle_gives_the_same_object_when_the_name_leads_back(functions):
    """A decorated function of a module pickles by name."""
    assert pickle.loads(pickle.dumps(functions.decorated)) is functions.decorated
    assert copy.deepcopy(functions.decorated) is functions.decorated


def test_copies_are_the_function_itself_when_it_is_copied():
    """As with plain functions, wherever it was defined: copies of what has one as an attribute stay equal."""

    class Named:
        @parallel
        def plain(self, x):
            return x

        @parallel
        @classmethod
        def of_class(cls, x):
            return x

        @parallel
        @staticmethod
        def static(x):
            return x

    for function in (parallel(make_closure(3)), parallel(len), parallel(Named), Named.plain):
        assert copy.copy(function) is function
        assert copy.deepcopy([function])[0] is function
    for method in (Named().plain, Named.of_class, Named.static):
        assert copy.copy(method) == method
    for method in (Named.of_class, Named.static):
        assert copy.deepcopy(method) == method


def test_copy_calls_the_copy_when_it_is_deep_and_has_an_object():
    """What an object has of itself is of its copy then, and measured together where it is a method of its class."""

    class Counter:
        def __init__(self):
            self.count = 0
            self.wrapped = parallel(self.add, backend="threads")
            self.wrapped.self = self.wrapped
            self.callable = parallel(self, backend="threads")
            self.method = self.decorated

        def add(self, number):
            self.count += number
            return self.count

        __call__ = add
        decorated = parallel(add)

    one = Counter()
    other = copy.deepcopy(one)
    assert (other.wrapped(1), other.callable(2), other.method(3), other.count, one.count) == (1, 3, 6, 6, 0)
    assert (repr(other.wrapped), other.method) == (repr(one.wrapped), other.decorated)
    assert other.callable.__wrapped__ is other
    assert copy.deepcopy(one.callable).__wrapped__.callable.__wrapped__ is not one
    assert other.method._profile is one.method._profile
    assert list(other.wrapped.map([1])) == [7]


def test_pickle_gives_an_equal_method_when_bound(functions):
    """A bound decorated method pickles with its object."""
    method = pickle.loads(pickle.dumps(functions.Scaler(4).scale))
    assert (method(2), list(method.map([2]))) == (10, [10])


def test_cloudpickle_gives_a_working_function_when_the_name_does_not_lead_back():
    """A decorated closure travels by value, options and all."""
    sent = parallel(make_closure(3), backend="threads")
    received = cloudpickle.loads(cloudpickle.dumps(sent))
    assert received(1) == 4
    assert list(received.map([1, 2])) == [4, 5]
    assert repr(received) == repr(sent)


def test_decorated_function_travels_when_it_is_an_argument(backend, functions):
    """A decorated function can itself be an argument or a result."""

    def apply(function, x):
        return function(x), function

    (value, function), *_ = parallel(apply, backend=backend).map([functions.decorated], [1])
    assert (value, function) == (2, functions.decorated)


def test_right_function_runs_when_names_are_shared(backend):
    """Two functions, and two classes, of the same name run their own code."""

    def make(answer):
        def same(x):
            return answer, x

        class Same:
            @parallel
            def method(self, x):
                return answer, -x

        return parallel(same, backend=backend), Same().method.options(backend=backend)

    (first, first_method), (second, second_method) = make("first"), make("second")
    assert list(first.map([1])) + list(second.map([2])) == [("first", 1), ("second", 2)]
    assert list(first_method.map([1])) + list(second_method.map([2])) == [("first", -1), ("second", -2)]


def test_right_function_runs_when_modules_share_its_name(backend, tmp_path, monkeypatch):
    """Functions of the same name in two modules are told apart."""
    for name in ("pd_left", "pd_right"):
        (tmp_path / f"{name}.py").write_text(
            "from parallel_deco import parallel\n"
            f"def bare(x): return {name!r}, x\n"
            "@parallel\n"
            f"def same(x): return {name!r}, x\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    import pd_left
    import pd_right

    with parallel_deco.config(backend=backend):
        for module in (pd_left, pd_right):
            assert list(module.same.map([1])) == [(module.__name__, 1)]
            assert parallel(module.bare).submit(2).result() == (module.__name__, 2)


def test_new_definition_runs_when_a_function_was_redefined(backend):
    """As in a notebook: the cell is run again with other code, and the new code counts."""
    space = {"parallel": parallel, "__name__": "notebook"}
    for answer in (1, 2):
        exec(f"@parallel\ndef cell(x): return x + {answer}", space)
        assert list(space["cell"].options(backend=backend).map([10, 20])) == [10 + answer, 20 + answer]


def test_globals_are_current_when_they_change_between_calls(backend):
    """A function that travels by value sees the globals of the caller as they are at each call."""
    space = {"parallel": parallel, "__name__": "notebook", "SCALE": 2}
    exec("def cell(x): return SCALE * x", space)
    cell = parallel(space["cell"], backend=backend)
    assert list(cell.map([1, 2])) == [2, 4]
    space["SCALE"] = 5
    assert list(cell.map([1, 2])) == [5, 10]
    assert cell.submit(3).result() == 15


def test_closure_is_current_when_it_changes_between_calls(backend):
    """A closure variable that was set anew is seen by the next call."""
    scale = 2

    @parallel(backend=backend)
    def cell(x):
        return scale * x

    assert list(cell.map([1, 2])) == [2, 4]
    scale = 5
    assert list(cell.map([1, 2])) == [5, 10]


def test_decorating_starts_nothing_when_only_decorated():
    """Neither threads nor processes exist before the first work."""
    before = threading.active_count()
    parallel(plain, backend="processes", max_workers=4)
    parallel(plain, backend="threads").explain()
    assert threading.active_count() == before


def test_explain_answers_when_nothing_ran(backend):
    """Before any work, `explain` says where the next would go."""
    explanation = parallel(make_closure(1), backend=backend).explain()
    assert explanation.route in ("serial", "threads", "processes")
    assert explanation.readings.items == 0
    assert "add" in str(explanation)


def test_explain_names_the_chosen_route_when_the_user_chose(backend):
    """An explicit backend is where the work went, and the reason says so."""
    function = parallel(make_closure(1), backend=backend)
    list(function.map(range(20)))
    explanation = function.explain()
    assert explanation.readings.items == 20
    assert explanation.readings.wall >= 0
    if backend != "auto":
        assert (explanation.route, backend in explanation.reason) == (backend, True)


@pytest.mark.parametrize("given", [3, None, object()])
def test_error_names_the_function_when_an_argument_is_no_iterable(given):
    """And what there is for one call."""
    for call in (parallel(double).map, parallel(double).starmap, lambda each: parallel(double).map([1], each)):
        with pytest.raises(InvalidTypeError, match=r"double\.\w+: '\w+' object is not iterable; .*submit"):
            call(given)


def test_error_says_what_starmap_takes_when_a_row_is_no_tuple():
    """The commonest mistake there."""
    with pytest.raises(TypeError, match="not iterable") as raised:
        list(parallel(double).starmap([3]))
    assert any("for one argument there is map" in note for note in raised.value.__notes__)


@pytest.mark.parametrize("name", ["ordered", "return_exceptions"])
def test_text_is_refused_when_yes_or_no_is_asked(name):
    """It would be true whatever it says."""
    with pytest.raises(InvalidTypeError, match=f"{name} must be True or False, not 'False'"):
        parallel(double).map([1], **{name: "False"})


def test_explain_knows_what_was_measured_when_options_are_changed():
    """What was measured is shared; and the user's choice is a reason."""
    function = parallel(double)
    list(function.map(range(100)))
    again = function.options(backend="threads").explain()
    assert again.readings.items == function.explain().readings.items
    assert again.reason == "you chose backend='threads'"
    assert again.readings.items > 0


def test_explain_says_that_it_was_submitted_when_a_loop_would_do():
    """Nothing of a loop, which is not where it ran; and no time is predicted from nothing."""
    function = parallel(double)
    function.submit(1).result()
    explained = function.explain()
    assert explained.route == "threads"
    assert "submitted" in explained.reason
    assert all(seconds > 0 for seconds in explained.predicted.values())
