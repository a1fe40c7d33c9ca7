"""The face: `parallel` and the function that it gives.

To decorate takes little; what runs work is loaded with the first work, and worker processes start meanwhile.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
from _thread import RLock, get_ident
from types import MethodType

from parallel_deco._binding import call_unbound
from parallel_deco._callables import check_callable
from parallel_deco._errors import InvalidTypeError
from parallel_deco._nesting import in_worker_process
from parallel_deco._options import Options, check_flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

    from parallel_deco._future import Future
    from parallel_deco._iterator import MapIterator
    from parallel_deco._profile import Profile
    from parallel_deco._progress import Progress
    from parallel_deco._source import Source
    from parallel_deco._submission import Submissions
    from parallel_deco.backends.batch import Shape
    from parallel_deco.routing.evidence import Evidence
    from parallel_deco.routing.explanation import Explanation

    P = ParamSpec("P")
    Q = ParamSpec("Q")
    R = TypeVar("R")

    class _Callable(Generic[P, R]):
        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

else:
    # `typing` would double the time that this module takes.
    P = Q = R = object()

    # A direct call passes through C: half the cost of a wrapper written in Python, which recursive functions would
    # pay at every level (measured: 60 ns against 120).
    class _Callable(functools.partial):
        pass


__all__ = ["ParallelFunction", "parallel"]

#: Seconds that a fork waits at most for what other threads import of ours.
FORKS = 1.0
#: Worker processes that start while the rest is loaded; more come when there is work for them.
AT_FIRST = 2

_loaded = _loaded_maps = False
_loading = RLock()
_under_way: list[bool] = []  # a thread loads, and whatever interrupts it must not
_held: dict[int, bool] = {}  # whether a fork under way, by its thread, holds it


def _load(options: Options) -> None:
    """Load what runs work; where these options need worker processes, the first of them start meanwhile.

    One thread at a time, for each would start a template. The garbage collector pauses: it would look at what is
    imported again and again, and find nothing, for some 4 ms of the 50 until a first result.
    """
    global _loaded
    with _loading:
        if _loaded:
            return
        _begin_loading()
        collects = gc.isenabled()
        try:
            gc.disable()
            _load_all(options)
        finally:
            _under_way.clear()
            if collects:
                gc.enable()
        _loaded = True


def _load_maps() -> None:
    """Load what maps need beyond that; under the lock that a fork waits for."""
    global _loaded_maps
    with _loading:
        if _loaded_maps:
            return
        _begin_loading()
        try:
            from parallel_deco._mapping import Mapping  # noqa: F401

            _loaded_maps = True
        finally:
            _under_way.clear()


def _begin_loading() -> None:
    if sys.is_finalizing():
        raise RuntimeError("the interpreter is ending: nothing can be started any more")
    if _under_way:
        raise RuntimeError(
            "the first use of parallel_deco, which loads the rest of it, was interrupted by a handler that uses it too:"
            " use it once before the signal may come, with list(parallel(abs).map([1])), or have a thread do it"
        )
    _under_way.append(True)


def _load_all(options: Options) -> None:
    first = "parallel_deco.backends.pools" not in sys.modules
    if first and options.backend == "processes" and not in_worker_process():
        from parallel_deco.backends import launch

        launch.early()
        from parallel_deco._cpus import available_cpus
        from parallel_deco.backends.pools import processes

        processes().warm(min(AT_FIRST, options.max_workers or available_cpus()))
    from parallel_deco._shutdown import shutdown_at_exit

    shutdown_at_exit()


def _before_fork() -> None:
    """Let a thread that is loading come to its end: the child would find modules half imported, by nobody."""
    from parallel_deco._importing import settle_before_fork

    readings = sys.modules.get("parallel_deco._readings")
    busy = getattr(readings, "others_decide", bool)
    _held[get_ident()] = settle_before_fork(_loading, "parallel_deco", FORKS, busy)


def _after_fork() -> None:
    if _held.pop(get_ident(), False):
        _loading.release()


def _after_fork_in_child() -> None:
    global _loading
    _held.clear()
    _under_way.clear()
    _loading = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


#: Attributes of a parallel function that are not the user's.
_OWN = frozenset((*functools.WRAPPER_ASSIGNMENTS, "__wrapped__", "_options", "_submissions", "_descriptor", "_profile"))
#: Methods of ours that no attribute of the function hides.
_OFFERED = ("submit", "map", "starmap", "explain", "options")
#: By the bits of `__flags__`: what binds as functions do, to the instance as the first argument.
_METHOD_DESCRIPTOR = 1 << 17
#: Attributes that a bound method has, and not its function alone.
_OF_METHODS = frozenset((*functools.WRAPPER_ASSIGNMENTS, "__self__", "__func__"))


class _WhenNeeded:
    """Stands in the class for an instance's profile, which is made when it is asked for."""

    def __get__(self, function: ParallelFunction[Any, Any] | None, owner: type) -> Any:
        if function is None:
            return self
        from parallel_deco._profile import Profile

        return vars(function).setdefault("_profile", Profile(function.__wrapped__))


class _Submitted:
    """What was submitted of a function, by options and size; mostly it is as it was the last time."""

    __slots__ = ("_all", "_last")

    def __init__(self) -> None:
        self._all: dict[tuple[Options, Evidence], Submissions] = {}
        self._last: tuple[Options, Evidence, Submissions] | None = None

    def find(
        self, profile: Profile, options: Options, evidence: Evidence, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Submissions:
        """Return those that a call with these options and of this size is to join.

        Calls that run one after the other do so in the order in which they were submitted, whatever their sizes.
        """
        last = self._last
        if last is not None and last[0] is options and last[1] is evidence:
            return last[2]
        found = self._all.get((options, evidence))
        if found is None:
            from parallel_deco._submission import Submissions

            every = [*self._all.items()]
            others = next((found for (same, seen), found in every if same == options and profile.has(seen)), None)
            if others is not None and profile.may_take_turns(
                options, profile.read_with(profile.function, args, kwargs)
            ):
                if not profile.is_read():
                    return others  # and the next call of this size is asked about again
                found = others
            found = self._all.setdefault((options, evidence), found or Submissions(profile, options, evidence))
        self._last = options, evidence, found
        return found


class ParallelFunction(_Callable[P, R]):
    """A function that can also run in parallel; made by `parallel`.

    Calling it calls the function, here and now. `submit` and `map` run it elsewhere, or here where that is faster.
    """

    __wrapped__: Callable[P, R]
    _options: Options
    _submissions: _Submitted
    _descriptor: Any

    if TYPE_CHECKING:
        _profile: Profile

        def __init__(
            self,
            function: Callable[P, R],
            options: Options,
            profile: Profile | None = None,
            descriptor: Any = None,
        ) -> None: ...

    else:
        _profile = _WhenNeeded()

        def __new__(cls, function, options, profile=None, descriptor=None):
            """Make the object around a checked function; users call `parallel`."""
            kind = type(function if descriptor is None else descriptor)
            self = super().__new__(cls if kind.__flags__ & _METHOD_DESCRIPTOR else _Otherwise, function)
            self._adopt(function, options, profile, descriptor)
            return self

    def _adopt(self, function: Callable[P, R], options: Options, profile: Profile | None, descriptor: Any) -> None:
        functools.update_wrapper(self, function, updated=() if isinstance(function, type) else ("__dict__",))
        self._options = options
        for name in ("_profile", *_OFFERED):  # it may be an attribute of the function's own
            vars(self).pop(name, None)
        if profile is not None:
            self._profile = profile
        self._submissions = _Submitted()
        self._descriptor = function if descriptor is None else descriptor

    def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Start a call elsewhere and return its future at once.

        Parameters
        ----------
        *args, **kwargs
            The function's own.

        Returns
        -------
        Future
            A `concurrent.futures.Future` that can also be awaited.

        Raises
        ------
        InvalidOptionError
            An environment variable of the library has an impossible value.

        Notes
        -----
        The function never runs in the caller's thread. Calls that cannot go to a worker process although
        ``backend="processes"`` was asked for fail with `NotPicklableError`. 30 to 90 µs to a thread and back, 50 to 110
        to a warm process (on a virtual machine of two CPUs, `benchmarks/questions/submit.py`); many small calls are
        gathered while the workers are busy, and take 10 to 20 each.

        Examples
        --------
        >>> from parallel_deco import parallel
        >>> task = parallel(pow).submit(2, 10)
        >>> task.result()
        1024
        """
        options = self._options.in_force()
        if not _loaded:
            _load(options)
        evidence = self._profile.evidence(args, kwargs)
        submissions = self._submissions.find(self._profile, options, evidence, args, kwargs)
        return submissions.submit(self.__wrapped__, args, kwargs)

    def map(
        self,
        *iterables: Iterable[Any],
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: bool | str = False,
        chunksize: int | None = None,
        buffersize: int | None = None,
    ) -> MapIterator[R]:
        """Call the function on each item, in parallel where that is faster.

        Parameters
        ----------
        *iterables : iterable
            One for each argument of the function; ends with the shortest. May be endless.
        ordered : bool
            Give results in the order of the items; False gives them as they come.
        return_exceptions : bool
            Give an item's exception as its result instead of raising it.
        progress : bool or str
            Show a tqdm bar that counts finished items, with this label: on a terminal and in a notebook. The
            environment variable PARALLEL_DECO_PROGRESS has it everywhere if it is 1, and nowhere if it is 0.
        chunksize : int, optional
            Items in a batch, for this map; otherwise the function's own option, and without one as measured.
        buffersize : int, optional
            The most items under way or not taken, in the same way.

        Returns
        -------
        MapIterator
            An iterator of the results. `close()`, or letting go of it, cancels the rest.

        Raises
        ------
        InvalidTypeError, InvalidOptionError
            No iterable was given, or an impossible `progress`, `chunksize`, `buffersize` or environment variable.
        BaseException
            While iterating: what the first item in order raised, where its result would be, with a note that names
            it; what the input itself raised, after the results of the items before it.

        Notes
        -----
        Items are pulled as they are needed, by one thread at a time but not always by the caller's. On a virtual
        machine of two CPUs, a short map that stays in the loop takes 30 µs beyond its items, and up to 0.5 ms where it
        is the first after something else; a batch that is handed out costs 0.05 to 0.5 ms.

        Examples
        --------
        >>> from parallel_deco import parallel
        >>> list(parallel(pow).map([2, 3], [10, 2]))
        [1024, 9]
        """
        if not iterables:
            raise InvalidTypeError(f"{self._name()}.map needs at least one iterable, got none")
        for iterable in iterables:
            self._check_iterable(iterable, "map")
        options = self._options_of_map(chunksize, buffersize)
        from parallel_deco._source import Source
        from parallel_deco.backends.batch import Shape

        shape = Shape.ONE if len(iterables) == 1 else Shape.STAR
        return self._map(Source.of(iterables), shape, options, ordered, return_exceptions, progress)

    def starmap(
        self,
        arguments: Iterable[Iterable[Any]],
        *,
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: bool | str = False,
        chunksize: int | None = None,
        buffersize: int | None = None,
    ) -> MapIterator[R]:
        """Call the function on each tuple of arguments; otherwise like `map`.

        Parameters
        ----------
        arguments : iterable of tuples
            ``function(*tuple)`` is called for each.
        ordered, return_exceptions, progress, chunksize, buffersize
            As in `map`.

        Returns
        -------
        MapIterator
            An iterator of the results.

        Raises
        ------
        InvalidTypeError, InvalidOptionError, BaseException
            As in `map`.

        Examples
        --------
        >>> from parallel_deco import parallel
        >>> list(parallel(pow).starmap([(2, 10), (3, 2)]))
        [1024, 9]
        """
        self._check_iterable(arguments, "starmap")
        options = self._options_of_map(chunksize, buffersize)
        from parallel_deco._source import Source
        from parallel_deco.backends.batch import Shape

        return self._map(Source.of_rows(arguments), Shape.STAR, options, ordered, return_exceptions, progress)

    def _check_iterable(self, given: object, method: str) -> None:
        """Raise for what cannot be iterated over; without doing so, which may have effects."""
        kind = type(given)
        if getattr(kind, "__iter__", None) is not None or hasattr(kind, "__getitem__"):
            return
        later = hasattr(kind, "__aiter__")
        instead = "collect its items first, in asyncio" if later else f"for one call there is {self._name()}.submit"
        raise InvalidTypeError(f"{self._name()}.{method}: {kind.__name__!r} object is not iterable; {instead}")

    def _options_of_map(self, chunksize: int | None, buffersize: int | None) -> Options:
        """Return the options of one map, with what runs it loaded."""
        given = {"chunksize": chunksize, "buffersize": buffersize}
        given = {name: value for name, value in given.items() if value is not None}
        options = (self._options.changed(**given) if given else self._options).in_force()
        if not _loaded:
            _load(options)
        if not _loaded_maps:
            _load_maps()
        return options

    def _map(
        self,
        source: Source,
        shape: Shape,
        options: Options,
        ordered: bool,
        return_exceptions: bool,
        progress: bool | str,
    ) -> MapIterator[R]:
        from parallel_deco._iterator import MapIterator
        from parallel_deco._mapping import Mapping

        check_flag(ordered, "ordered")
        check_flag(return_exceptions, "return_exceptions")
        mapping = Mapping(
            self.__wrapped__,
            self._profile,
            options,
            source,
            shape,
            ordered=ordered,
            return_exceptions=return_exceptions,
            progress=self._progress(progress, source) if progress else None,
        )
        return MapIterator(mapping)

    def _progress(self, wanted: bool | str, source: Source) -> Progress:
        from parallel_deco._progress import Progress

        if not isinstance(wanted, bool | str):
            raise InvalidTypeError(f"progress must be True, False or a label, not {wanted!r}")
        return Progress(wanted if isinstance(wanted, str) else self._name(), source.left)

    def explain(self) -> Explanation:
        """Say where the last work went, or the next would go, and why.

        Returns
        -------
        Explanation
            ``print`` it, or read its attributes.
        """
        return self._profile.explain(self._options.in_force())

    def options(self, **changes: Any) -> ParallelFunction[P, R]:
        """Return the same function with other options; what was measured of it is shared.

        Parameters
        ----------
        **changes
            Options of `parallel`.

        Returns
        -------
        ParallelFunction
            The original is unchanged.

        Raises
        ------
        InvalidOptionError, InvalidTypeError
            An option that does not exist, or a value that it cannot have.
        """
        options = self._options.changed(**changes)
        other: ParallelFunction[P, R] = ParallelFunction(
            self.__wrapped__, options, self._profile.sibling(), self._descriptor
        )
        vars(other).update(self._attributes())
        return other

    def __getattr__(self, name: str) -> Any:
        """Pass on what only the function has: a cache's methods, for one."""
        if name in _OWN or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        return getattr(self.__wrapped__, name)

    def _attributes(self) -> dict[str, Any]:
        """Return the attributes that the user has set since it was made."""
        given = getattr(self.__wrapped__, "__dict__", {})
        return {
            name: value
            for name, value in vars(self).items()
            if name not in _OWN and not (name in given and given[name] is value)
        }

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: type | None = None) -> ParallelFunction[P, R]: ...

        @overload
        def __get__(
            self: ParallelFunction[Concatenate[Any, Q], R], instance: object, owner: type | None = None
        ) -> ParallelFunction[Q, R]: ...

    def __get__(self, instance: object, owner: type | None = None) -> ParallelFunction[Any, R]:
        """Bind like a function: what was measured is shared by all instances."""
        return self if instance is None else _bind(self, MethodType(self.__wrapped__, instance))

    def __copy__(self) -> ParallelFunction[P, R]:
        """Return itself, as functions do: a copy would be another function, of which nothing was measured."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ParallelFunction[P, R]:
        """Return itself where what it calls is its own copy, as functions are; else one that calls the copy."""
        import copy

        target = copy.deepcopy(self.__wrapped__, memo)
        if target is self.__wrapped__:
            return self
        found: ParallelFunction[P, R] | None = memo.get(id(self))  # what it calls may refer to it
        if found is None:
            found = memo[id(self)] = ParallelFunction(target, self._options)
            vars(found).update(self._attributes())
        return found

    def __reduce__(self) -> Any:
        """Pickle by name where the name leads back here, or to the same with other options; else by value."""
        found = _found(getattr(self, "__module__", None), getattr(self, "__qualname__", ""))
        if found is self:
            return self.__qualname__
        if isinstance(found, ParallelFunction) and found.__wrapped__ is self.__wrapped__:
            return _changed, (found, self._options)
        state = self.__wrapped__, self._options, self._descriptor, self._attributes()
        return _blank, (type(self),), state

    def __setstate__(self, state: tuple[Callable[P, R], Options, Any, dict[str, Any]]) -> None:
        """Fill in what `_blank` made; in two steps, since a function may refer to its own decorated self."""
        function, options, descriptor, attributes = state
        functools.partial.__setstate__(self, (function, (), {}, {}))  # type: ignore[attr-defined]
        self._adopt(function, options, None, descriptor)
        vars(self).update(attributes)

    def __repr__(self) -> str:
        """Name the function and the backend."""
        module = getattr(self, "__module__", None)
        return f"<parallel_deco.ParallelFunction {module}.{self._name()} backend={self._options.backend!r}>"

    def _name(self) -> str:
        return getattr(self, "__qualname__", None) or repr(self.__wrapped__)


class _Otherwise(ParallelFunction[P, R]):
    """One that a class does not bind as a function: a class method, a static method, what is no function at all."""

    def __get__(self, instance: object, owner: type | None = None) -> ParallelFunction[Any, R]:
        bind = getattr(type(self._descriptor), "__get__", None)
        bound = self._descriptor if bind is None else bind(self._descriptor, instance, owner)
        return self if bound is self.__wrapped__ else _bind(self, bound)


class _Bound(ParallelFunction[P, R]):
    """A parallel function as the method of an object; made each time that it is asked for, and so of little.

    All but the bound method is that of the function. As with Python's own, two are equal where both parts are the same.
    """

    if TYPE_CHECKING:
        _origin: ParallelFunction[Any, R]

    _options = property(lambda self: self._origin._options)
    _profile = property(lambda self: self._origin._profile)
    _submissions = property(lambda self: self._origin._submissions)
    __doc__ = property(lambda self: self.__wrapped__.__doc__)

    def __get__(self, instance: object, owner: type | None = None) -> ParallelFunction[P, R]:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__ if name in _OF_METHODS else self._origin, name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Bound):
            return NotImplemented
        return self.__wrapped__ == other.__wrapped__ and self._options == other._options

    def __hash__(self) -> int:
        return hash(self.__wrapped__)

    def options(self, **changes: Any) -> ParallelFunction[P, R]:
        return _bind(self._origin.options(**changes), self.__wrapped__)

    def __deepcopy__(self, memo: dict[int, Any]) -> ParallelFunction[P, R]:
        """Return the same of the object's copy, as Python's own methods do."""
        import copy

        return _bind(self._origin, copy.deepcopy(self.__wrapped__, memo))

    def __reduce__(self) -> Any:
        """Pickle by the object's attribute; not where that is another's: a subclass's, or one that has the name too."""
        import inspect

        method, name = self.__wrapped__, self.__name__
        if not isinstance(method, MethodType):
            return _bind, (self._origin, method)
        found = inspect.getattr_static(method.__self__, name, None)
        if not (isinstance(found, ParallelFunction) and found.__wrapped__ is method.__func__):
            return _bound, (method.__func__, method.__self__, self._options)
        if found._options == self._options:
            return getattr, (method.__self__, name)
        return _changed, (getattr(method.__self__, name), self._options)


def _bind(function: ParallelFunction[Any, R], bound: Callable[P, R]) -> ParallelFunction[P, R]:
    method: _Bound[P, R] = _Callable.__new__(_Bound, bound)  # type: ignore[call-arg]
    method._origin = function
    method.__wrapped__ = bound
    method.__module__ = function.__module__
    return method


def _bound(function: Callable[..., Any], instance: object, options: Options) -> ParallelFunction[Any, Any]:
    return _bind(ParallelFunction(function, options), MethodType(function, instance))


def _changed(function: ParallelFunction[P, R], options: Options) -> ParallelFunction[P, R]:
    return function.options(**options._asdict())


def _blank(kind: type[ParallelFunction[Any, Any]]) -> ParallelFunction[Any, Any]:
    return kind(_unfilled, Options())


def _unfilled() -> None:
    raise RuntimeError("this parallel function is still being unpickled")


def _found(module: str | None, qualname: str) -> object:
    """Return what importing the module and following the name gives, in another process too; None if there is none."""
    if module is None or module == "__main__" or "<locals>" in qualname:
        return None
    import inspect

    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = inspect.getattr_static(found, part, None)
    return found


def _checked(function: Any) -> Callable[..., Any]:
    """Return what a call calls, or raise for what cannot work."""
    if isinstance(function, ParallelFunction):
        return function.__wrapped__
    target = function.__func__ if isinstance(function, classmethod | staticmethod) else function
    check_callable(target, "parallel", "decorates")
    return target


if TYPE_CHECKING:

    @overload
    def parallel(
        function: Callable[P, R],
        /,
        *,
        backend: str | Callable[[Explanation], str] = "auto",
        max_workers: int | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        shared: bool | None = None,
        timeout: float | None = None,
    ) -> ParallelFunction[P, R]: ...

    @overload
    def parallel(
        function: None = None,
        /,
        *,
        backend: str | Callable[[Explanation], str] = "auto",
        max_workers: int | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        shared: bool | None = None,
        timeout: float | None = None,
    ) -> Callable[[Callable[P, R]], ParallelFunction[P, R]]: ...


def parallel(
    function: Callable[..., Any] | None = None,
    /,
    *,
    backend: str | Callable[[Explanation], str] = "auto",
    max_workers: int | None = None,
    chunksize: int | None = None,
    buffersize: int | None = None,
    shared: bool | None = None,
    timeout: float | None = None,
) -> Any:
    """Decorate a function so that it can run in parallel; with and without parentheses.

    Parameters
    ----------
    function : callable, optional
        A function, method, class or static method, lambda or closure.
    backend : {"auto", "serial", "threads", "processes"} or callable
        Where `submit` and `map` run it. "auto" measures the function and chooses; the others are obeyed, and never
        replaced in silence. "serial" is the caller's own thread for `map`; for `submit`, which never runs there, one
        other thread that takes call after call. A callable is a policy: it gets an `Explanation` with the readings and
        what auto proposes, and returns a route; one that is closed, as the notes of `explain` say, is not taken.
    max_workers : int, optional
        The most threads or processes at a time. None: as many as measurement says.
    chunksize : int, optional
        Items in one batch of `map`. None: work for 8 ms, of what computes for up to 32; less towards the end.
    buffersize : int, optional
        The most items of `map` in flight or waiting to be taken. None: enough for full speed, but no more than 200,000
        items, or 256 MB of results.
    shared : bool, optional
        True: the function must share memory with the caller, and is safe to run in several threads at once, whatever it
        writes: "auto" has such calls take turns no more. False: it writes nothing outside itself, the author vouches.
        None: "auto" reads its code, and keeps it here when in doubt.
    timeout : float, optional
        Seconds that each item of `submit` and `map` may take; one that takes longer fails with `ItemTimeoutError`, to
        within 10 ms where the GIL is free. Its worker process is killed and replaced. A thread cannot be ended: it runs
        on, and another takes its place; so "auto" prefers processes then. The time is that of the call: what pickling
        takes, or waiting behind others, does not count. A direct call takes as long as it takes.

    Returns
    -------
    ParallelFunction
        Called like the function; also has `submit`, `map`, `starmap`, `explain` and `options`.

    Raises
    ------
    InvalidOptionError
        An unknown backend, a number below 1, or a timeout that is not above 0 or cannot be kept.
    InvalidTypeError
        An option of the wrong type, or something that cannot run in parallel: a generator or coroutine function.

    Notes
    -----
    Decorating starts nothing and imports nothing. On a class method or static method, `parallel` goes on top.

    Examples
    --------
    >>> from parallel_deco import parallel
    >>> @parallel
    ... def square(x):
    ...     return x * x
    >>> square(3)
    9
    >>> list(square.map(range(4)))
    [0, 1, 4, 9]
    >>> square.submit(5).result()
    25
    """
    options = Options(backend, max_workers, chunksize, buffersize, shared, timeout)

    def decorate(function: Any) -> Any:
        target = _checked(function)
        inner = function._descriptor if isinstance(function, _Otherwise) else function
        descriptor = inner if isinstance(inner, classmethod | staticmethod) else None
        return ParallelFunction(target, options, None, descriptor)

    return decorate if function is None else decorate(function)


call_unbound(ParallelFunction)

# Python 3.14 would take them for those of every function that was decorated.
del ParallelFunction.__annotations__

for _public in (ParallelFunction, parallel):
    _public.__module__ = "parallel_deco"
