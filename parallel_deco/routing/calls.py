"""Knows what a call may change and what it may give back, whoever is called.

Functions in Python are walked through with the values they are called with, so that a change of a parameter is a
change of what was passed. What cannot be walked through is a matter for `natives`.
"""

from __future__ import annotations

import functools
import operator
import types
from typing import Final

from parallel_deco.routing import known
from parallel_deco.routing.caches import is_cache, kept
from parallel_deco.routing.frames import Frame
from parallel_deco.routing.hooks import IDENTITY, calls_hooks, hooks_of, specials_of
from parallel_deco.routing.instructions import ACTIONS
from parallel_deco.routing.known import Species, is_library, own_function, species
from parallel_deco.routing.ledger import EffectKind, Exhausted, Ledger
from parallel_deco.routing.looks import DEEP
from parallel_deco.routing.lookup import (
    MISSING,
    attribute,
    builtins_of,
    class_attribute,
    dotted_name,
    has_own,
    home,
    instance_namespace,
    is_a,
    is_any,
    is_ours,
    mro,
    namespace,
    type_name,
    unwrap_partial,
)
from parallel_deco.routing.members import Members
from parallel_deco.routing.natives import verb, words_for_unknown
from parallel_deco.routing.orders import add_items
from parallel_deco.routing.rules import CALLABLES, RULES, looks_callable, single, union
from parallel_deco.routing.values import (
    EMPTY,
    OTHER,
    Bound,
    Const,
    Given,
    Made,
    Method,
    Origin,
    Outside,
    Place,
    Site,
    Value,
    describe,
    follow,
)

__all__ = ["Calls"]

DEPTH_MAX: Final = 10  # guessed; the number of steps bounds the cost, this bounds Python's own stack


class Calls(Members):
    """Reads calls; the frames that it starts come back to it for theirs."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._remembered: dict[object, tuple[int, Value, frozenset[tuple[str, str, int]]]] = {}
        self._walks: dict[object, Frame] = {}
        self._hooked: set[Place] = set()  # whose hooks are being walked

    def forget(self) -> None:
        """Let go of the walks, which lead back here."""
        self._walks.clear()

    def call(self, callee: Value, given: Given) -> Value:
        """Return what a call of `callee` may give, and write down what it may change."""
        if not callee:
            return self.call_fresh(EMPTY, given)
        return self.ledger.narrow(union([self.call_place(place, given) for place in callee]))

    def call_place(self, place: Place, given: Given) -> Value:
        """Call what is kept at `place`."""
        if type(place) is Outside:
            if place.step[:1] == "." and place.parent is not None:
                return self._call_attribute(place, place.parent, given)
            return self._call_outside(place, given)
        if type(place) is Made:
            return self._call_made(place, given)
        if type(place) is Method:
            return self._call_method_of_fresh(place, given)
        if type(place) is Bound:
            return self._call_bound(place, given)
        if type(place) is Site:
            return self._call_site(place, given)
        return self.call_fresh(EMPTY, given)

    # --- things of the outside -----------------------------------------------------------------------------------

    def _call_outside(self, place: Outside, given: Given) -> Value:
        examples = self.ledger.ask(place)
        library = _library_name(place) if examples is None else ""
        if library:
            return self.native_function(library, MISSING, given)
        if examples is None:
            argument = place.name if place.origin is Origin.ARGUMENT else None
            self.ledger.record(EffectKind.CALLS_UNKNOWN, words_for_unknown(place), argument)
            return self.call_fresh(single(place), given)
        return union([self.call_object(thing, single(place), given) for thing in examples])

    def _call_attribute(self, place: Outside, owner: Outside, given: Given) -> Value:
        """Call ``owner.name(…)``."""
        examples, name = self.ledger.ask(owner), place.step[1:]
        if examples is not None:
            own = [x for x in owner.examples or () if species(type(x))[0] is Species.PLAIN and has_own(x, name)]
            if own:  # what these are to call is no matter of their types
                self.ledger.ask(place)
            once = {id(thing): thing for thing in (*examples, *own)}
            return union([self._call_member(thing, owner, place, given) for thing in once.values()])
        library = _library_name(place)
        if library:
            if owner.parent is not None and known.mutating(name):
                self.ledger.change(single(owner), verb(name))
            return self.native_function(library, MISSING, given)
        far = "…" in owner.path
        if (far or owner.origin is not Origin.ARGUMENT) and not known.mutating(name):
            if not far and self.of_data(owner, name):  # it may call what it is given with what is in a column
                self.callbacks(Given([*given.positional, self.ledger.child(owner, "[]")], given.keywords))
            else:
                argument = owner.name if owner.origin is Origin.ARGUMENT else None
                self.ledger.record(EffectKind.CALLS_UNKNOWN, f"calls .{name}() of {describe(owner)}", argument)
        return self.native_method(owner, name, given)

    def _call_member(self, thing: object, owner: Outside, place: Outside, given: Given) -> Value:
        name = place.step[1:]
        if name[-1] == "*":
            return self._call_any_member(thing, owner, place, given)
        if is_a(thing, types.ModuleType):
            found = attribute(thing, name)
            via = f"{home(thing)}.{name}"
            if found is MISSING:
                return self.native_function(via, MISSING, given)
            return self.call_object(found, single(place), given, via)
        if is_a(thing, type):
            return self._call_class_member(thing, owner, place, given)
        kind = species(type(thing))[0]
        if kind is Species.SCALAR:
            return self.method_of_constant(name, given)
        if kind is Species.LOGGER and name in known.LOGGING_SETTINGS:
            self.set_logging(name)
        if kind is Species.LOGGER:
            return self._log(thing, owner, name, given)
        if kind is Species.CONTEXT and name == "get":
            value = thing.get(MISSING)  # type: ignore[attr-defined]
            return self.ledger.keeper(Origin.GLOBAL, f"{owner.name}.get()", value) | union(given.positional)
        if kind is Species.CONTEXT and name not in ("set", "reset", "run"):
            return EMPTY
        if kind is Species.CONTEXT:
            self.ledger.change(single(owner), f"calls .{name}() of")
            return EMPTY
        if kind is Species.RANDOM:
            self.ledger.draw(f"{describe(owner)}, a random generator", name)
            return self.native_method(owner, name, given)
        if name in ("map", "starmap", "submit") and is_ours(thing):
            elements = [self.ledger.inside(value) | value for value in given.positional]
            return self.call_object(attribute(thing, "__wrapped__"), EMPTY, Given(elements, given.keywords))
        return self._call_instance_member(thing, owner, place, given)

    def _log(self, thing: object, owner: Outside, name: str, given: Given) -> Value:
        """What is logged is made a text, perhaps; and a class of the user's may have a hand in it."""
        self.make_text(given.all())
        self.transforms(name, [type(thing)], given)
        for method in dict.fromkeys((name, "process", "makeRecord", "handle")):
            function = self.readable(class_attribute(type(thing), method))
            if function is not None:
                self.call_function(function, Given([single(owner)], {}, given.all()))
        return EMPTY

    def _call_any_member(self, thing: object, owner: Outside, place: Outside, given: Given) -> Value:
        """Call ``getattr(owner, name)(…)``, where the name is not known, or what it begins with."""
        kind = species(type(thing))[0]
        if kind in (Species.SCALAR, Species.LOGGER):
            self.callbacks(given)
            return EMPTY
        if kind is Species.PLAIN or (is_a(thing, types.ModuleType) and place.examples is not None):
            methods = self.methods_like(type(thing), place.step[1:])
            own = place.examples if place.examples is not None and looks_callable(place) else ()
            return union(
                [self.call_function(function, given.after(single(owner))) for function in methods]
                + [self.call_object(found, single(place), given) for found in own]
            )
        if is_a(thing, types.ModuleType) and is_library(home(thing)):
            return self.native_function(f"{home(thing)}.*", MISSING, given)
        argument = owner.name if owner.origin is Origin.ARGUMENT else None
        self.ledger.record(EffectKind.CALLS_UNKNOWN, f"calls a method by name of {describe(owner)}", argument)
        return self.native_method(owner, place.step[1:], given)

    def _call_class_member(self, cls: type, owner: Outside, place: Outside, given: Given) -> Value:
        found = attribute(cls, place.step[1:])
        if is_a(found, classmethod):
            return self.call_object(found.__func__, EMPTY, given.after(single(owner)))
        if is_any(found, (types.FunctionType, staticmethod, functools.partialmethod)):
            return self.call_object(found, single(place), given)
        unbound = class_attribute(type(found), "__get__") is MISSING or is_a(found, types.MethodType)
        if unbound and found is not MISSING and not is_library(home(cls)):
            return self.call_object(found, single(place), given)  # an object on the class that is no method of it
        base = next((base for base in mro(cls) if place.step[1:] in namespace(base)), cls)
        name = f"{dotted_name(base)}.{place.step[1:]}"
        return self.native_function(name, found, given)

    def _call_instance_member(self, thing: object, owner: Outside, place: Outside, given: Given) -> Value:
        name = place.step[1:]
        found = attribute(thing, name)
        if has_own(thing, name):
            return self.call_object(found, single(place), given)  # in the namespace of the instance
        if is_a(found, staticmethod):
            return self.call_object(found.__func__, EMPTY, given)
        if is_a(found, classmethod):
            cls = self.ledger.keeper(Origin.GLOBAL, type(thing).__name__, type(thing))
            return self.call_object(found.__func__, EMPTY, given.after(cls))
        if is_any(found, (functools.singledispatchmethod, functools.partialmethod)):  # it is bound late
            return self.call_object(found, single(place), given.after(single(owner)))
        function = self.readable(found)
        if function is not None:
            return self._kept_by(found, self.call_function(function, given.after(single(owner))))
        if self.is_property(found):
            return self.call_fresh(self.read_property(found, single(owner)), given)
        if found is not MISSING and class_attribute(type(found), "__get__") is MISSING:
            return self.call_object(found, single(place), given)  # an object on the class that is no method
        if found is MISSING and known.has_no_other(type(thing)):
            return EMPTY  # a dict has no `append`: nothing is called
        trusted = owner.origin is Origin.ARGUMENT or found is not MISSING or self.of_data(owner)
        if not trusted or (found is MISSING and self.answers_anything(thing)):
            self.ledger.record(
                EffectKind.CALLS_UNKNOWN, f"calls .{name}() of {describe(owner)}, which cannot be looked up"
            )
        if species(type(thing))[0] is Species.FOREIGN and owner.origin is not Origin.ARGUMENT:
            self.ledger.record(EffectKind.CALLS_UNKNOWN, f"calls .{name}() of {describe(owner)}, which is compiled")
        return self.native_method(owner, name, given) | self._hooks(owner, type(thing), found, given)

    # --- objects that are known ------------------------------------------------------------------------------------

    def call_object(self, thing: object, value: Value, given: Given, via: str = "") -> Value:
        """Call an object that is known; `value` is where it is kept, `via` the dotted name it was reached by."""
        if is_any(thing, CALLABLES[3:4]):
            thing, given = self._without_partial(thing, given)
        if is_any(thing, (staticmethod, classmethod)):
            thing = thing.__func__  # type: ignore[attr-defined]
        if is_a(thing, functools.singledispatchmethod):
            thing = attribute(thing, "dispatcher")
        if is_a(thing, functools.partialmethod):
            thing, given = self._without_partialmethod(thing, given)
        if is_a(thing, types.FunctionType):
            if own_function(thing):
                return self.call_function(thing, given)
            return self._library_function(thing, via, given)
        if is_a(thing, types.MethodType):
            return self._call_bound_object(thing.__func__, thing.__self__, value, given)
        if is_a(thing, type):
            return self.instantiate(thing, given)
        if is_any(thing, (types.BuiltinFunctionType, types.MethodWrapperType)):
            receiver = thing.__self__  # type: ignore[attr-defined]
            if receiver is not None and not is_any(receiver, (types.ModuleType, type)):
                return self._call_bound_object(thing, receiver, value, given)
            return self.native_function(via or dotted_name(thing), thing, given)
        if type(thing) is operator.methodcaller:
            made, arguments = thing.__reduce__()  # type: ignore[str-unpack]
            if made is not operator.methodcaller:  # a partial, which has the keywords
                arguments = made.args  # type: ignore[union-attr]
            return self.call(self.attribute(given.first(), arguments[0], to_call=True), Given([]))
        if type(thing) is operator.attrgetter:
            return self._attributes_of(given.first(), thing.__reduce__()[1])  # type: ignore[arg-type]
        return self._call_instance(thing, value, given, via)

    def _attributes_of(self, value: Value, names: tuple[object, ...]) -> Value:
        """Return what an `operator.attrgetter` gives: the attributes, and a tuple of them where there are several."""
        found: list[Value] = []
        for name in names:
            inner = value
            for step in name.split(".") if type(name) is str else ():
                inner = self.attribute(inner, step)
            found.append(inner)
        site = self.new_site("attributes")
        site.fields = found
        self.ledger.put(site, union(found))
        return union(found) | single(site) if len(found) == 1 else single(site)

    def _without_partial(self, thing: object, given: Given) -> tuple[object, Given]:
        inner, arguments, keywords = unwrap_partial(thing)
        first, named = self._kept_arguments(arguments, keywords)
        self.ledger.notice(union((*first, *named.values())))
        return inner, Given([*first, *given.positional], {**named, **given.keywords}, given.spread, given.unnamed)

    def _without_partialmethod(self, thing: functools.partialmethod[object], given: Given) -> tuple[object, Given]:
        first, named = self._kept_arguments(thing.args, thing.keywords)
        receiver, *others = given.positional or [EMPTY]
        return thing.func, Given([receiver, *first, *others], {**named, **given.keywords}, given.spread, given.unnamed)

    def _kept_arguments(
        self, arguments: tuple[object, ...], keywords: dict[str, object]
    ) -> tuple[list[Value], dict[str, Value]]:
        """Return the values of the arguments that a partial object keeps."""
        first = [self.ledger.keeper(Origin.CAPTURED, f"argument {i}", x) for i, x in enumerate(arguments)]
        return first, {name: self.ledger.keeper(Origin.CAPTURED, name, x) for name, x in keywords.items()}

    def _call_instance(self, thing: object, value: Value, given: Given, via: str) -> Value:
        method = self.readable(class_attribute(type(thing), "__call__"))
        if method is not None:
            receiver = value or self.ledger.keeper(Origin.CAPTURED, type(thing).__name__, thing)
            return self.call_function(method, given.after(receiver))
        wrapped = attribute(thing, "__wrapped__")
        if type_name(type(thing)).startswith("unittest.mock."):
            self.ledger.change(value, "calls, and so writes to,")
        if species(type(thing))[0] is Species.NATIVE:  # ``np.vectorize(f)``
            for kept_there in (instance_namespace(thing) or {}).values():
                if is_a(kept_there, types.FunctionType) and own_function(kept_there):
                    self.call_function(kept_there, Given([], {}, self.ledger.reach(given.all())))
        if is_cache(thing):
            self.ask(given.all(), IDENTITY)
        if wrapped is not MISSING:
            self.ledger.spend(50)  # a chain of wrappers may be a ring
            return self._kept_by(thing, self.call_object(wrapped, EMPTY, given, via or dotted_name(thing)))
        return self.native_function(via or dotted_name(thing), thing, given)

    def _kept_by(self, wrapper: object, result: Value) -> Value:
        """Return the result of a function in a wrapper, which may be a cache."""
        return kept(self.ledger, result, dotted_name(wrapper).rpartition(".")[2]) if is_cache(wrapper) else result

    def _call_bound_object(self, function: object, receiver: object, value: Value, given: Given) -> Value:
        """Call a method that was bound before: its receiver is a captured object."""
        if is_a(receiver, type):
            owner = self.ledger.keeper(Origin.GLOBAL, receiver.__name__, receiver)
            return self.call_object(function, EMPTY, given.after(owner))
        called = dotted_name(function).rpartition(".")[2]
        if species(type(receiver))[0] is Species.RANDOM:
            self.ledger.draw(f"the shared random stream with {called}()", called)
            if known.mutating(called):
                self.ledger.change(given.first(), "shuffles")
            return self.call_fresh(EMPTY, given)
        name = next((place.name for place in value if type(place) is Outside), "")
        owner = self.ledger.keeper(Origin.CAPTURED, f"receiver of {name}" if name else "receiver", receiver)
        self.ledger.notice(owner)
        readable = self.readable(function)
        if readable is not None:
            return self.call_function(readable, given.after(owner))
        return union([self.native_method(place, called, given) for place in owner if type(place) is Outside])

    def _library_function(self, function: types.FunctionType, via: str, given: Given) -> Value:
        """Call a function in Python of a known library: believed, but for the user's functions inside it."""
        result = self.native_function(via or dotted_name(function), function, given)
        if attribute(function, "patchings") is not MISSING:
            self.ledger.record(EffectKind.WRITES_GLOBAL, f"calls {function.__name__}(), which patches")
        for place, thing in self._users_in(function):
            if is_a(thing, types.FunctionType):
                result |= self.call_function(thing, given)
            elif place is not None and species(type(thing))[0] is Species.PLAIN:  # a context manager, for one
                self.call_hooks(place, type(thing), given, special=True)
                for name in ("__enter__", "__exit__", "__call__"):
                    method = self.readable(class_attribute(type(thing), name))
                    if method is not None:
                        result |= self.call_function(method, given.after(single(place)))
        return result

    def _users_in(self, function: types.FunctionType) -> list[tuple[Outside | None, object]]:
        """Return the user's functions and objects that a function of a library keeps, and that functions there do."""
        kept: dict[int, tuple[Outside | None, object]] = {}
        asked, left = {id(function)}, [function]
        while left:
            found: list[tuple[Outside | None, object]] = []
            function = left.pop()
            wrapped = attribute(function, "__wrapped__")
            if wrapped is not MISSING:
                found.append((None, wrapped))
            own = attribute(function, "__module__") == "functools"  # what it keeps for itself may be what it likes
            for cell, name in zip(function.__closure__ or (), function.__code__.co_freevars, strict=False):
                for place in self.ledger.captured(cell, name, notice=not own):
                    if type(place) is not Outside:
                        continue
                    for example in place.examples or ():
                        late = _LATE.get(dotted_name(type(example)))
                        thing = attribute(example, late) if late is not None else example
                        registry = is_any(thing, (dict, types.MappingProxyType))
                        found += [(place, each) for each in (follow((thing,), "[]") or () if registry else (thing,))]
            for keeper, thing in found:
                if not is_a(thing, types.FunctionType) or own_function(thing):
                    kept[id(thing)] = keeper, thing
                elif id(thing) not in asked:
                    asked.add(id(thing))
                    left.append(thing)
        return list(kept.values())

    # --- functions in Python ---------------------------------------------------------------------------------------

    def call_function(self, function: types.FunctionType, given: Given) -> Value:
        """Walk through a function in Python with the values that it is called with."""
        code = function.__code__
        free = tuple(
            [
                self.ledger.captured(cell, name)
                for cell, name in zip(function.__closure__ or (), code.co_freevars, strict=False)
            ]
        )
        defaults = [self.ledger.keeper(Origin.DEFAULT, code.co_name, x) for x in function.__defaults__ or ()]
        named = {
            name: self.ledger.keeper(Origin.DEFAULT, code.co_name, x)
            for name, x in (function.__kwdefaults__ or {}).items()
        }
        bound = self._bind(code, given, defaults, named)
        return self.walk(code, function.__globals__, builtins_of(function), free, bound)

    def _call_made(self, made: Made, given: Given) -> Value:
        defaults: list[Value] = []
        for place in made.defaults:
            if type(place) is Site and place.fields is not None:
                defaults = list(place.fields)
        inside = self.ledger.inside(made.keyword_defaults)
        bound = self._bind(made.code, given, defaults, dict.fromkeys(_keyword_only(made.code), inside))
        return self.walk(made.code, made.module, self.frames[-1].builtins, made.closure, bound)

    def _bind(
        self, code: types.CodeType, given: Given, defaults: list[Value], named_defaults: dict[str, Value]
    ) -> list[Value]:
        """Return the values of the parameters; wrong calls are forgiven, they fail without help."""
        count, names = code.co_argcount, code.co_varnames
        spread = EMPTY if given.spread is None else given.spread | OTHER
        left = dict(given.keywords)
        bound = list(given.positional[:count])
        without = count - len(defaults)
        for index in range(len(bound), count):
            default = defaults[index - without] if index >= without else EMPTY
            bound.append(left.pop(names[index], default) | spread)
        for name in _keyword_only(code):
            bound.append(left.pop(name, named_defaults.get(name, EMPTY)) | spread)
        if code.co_flags & 4:
            bound.append(self._collected(code, given.positional[count:], given.spread))
        if code.co_flags & 8:
            bound.append(self._named(code, Given([], left, given.spread, given.unnamed)))
        return bound

    def _collected(self, code: types.CodeType, values: list[Value], spread: Value | None) -> Value:
        """Return what ``*args`` is."""
        site = self.ledger.site((code, "*", tuple(values), spread))
        self.ledger.put(site, union(values) | (spread or EMPTY))
        if spread is None:
            site.fields = values
        return single(site)

    def _named(self, code: types.CodeType, given: Given) -> Value:
        """Return what ``**kwargs`` is."""
        site = self.ledger.site((code, "**", tuple(given.keywords.items()), given.spread, given.unnamed))
        self.ledger.put(site, given.all())
        add_items(self.ledger, single(site), given)
        return single(site)

    def walk(
        self,
        code: types.CodeType,
        module: dict[str, object],
        builtins: dict[str, object],
        free: tuple[Value, ...],
        bound: list[Value],
    ) -> Value:
        """Walk through code with the values of its parameters; return what it may give."""
        guarded = any(frame.guarded for frame in self.frames)  # an effect under a lock is another
        key = (id(code), tuple(bound), free, guarded)
        remembered = self._remembered.get(key)
        if remembered is not None and remembered[0] == self.ledger.version:
            self.ledger.meet(*remembered[2])
            return remembered[1]
        under_way = [frame for frame in self.frames if frame.code is code and frame.closure == free]
        if len(under_way) > 1:
            # Recursion: the walk under way takes these arguments, too. The first level is walked on its own, so
            # that what only the caller of the caller gave is not mixed with what the function gives itself.
            under_way[-1].recursive = True
            under_way[-1].enter(bound)
            return self._result(under_way[-1])
        # Whoever calls from inside the function gets one and the same walk, with all that it was ever called with.
        caller = self.frames[-1] if self.frames and not under_way else None
        place = (caller.key, caller.index) if caller is not None else (-1, len(under_way))
        frame = self._walks.get((*place, id(code), free))
        if frame is None:
            frame = Frame(self, code, module, builtins, free, self.ledger.frame_key(*place, code), ACTIONS)
            self._walks[*place, id(code), free] = frame
        if frame.covers(bound, guarded):
            self.ledger.meet(*frame.met)
        else:
            before = len(self.ledger.trail)
            self._run(frame, bound)
            frame.settled = self.ledger.version, guarded
            frame.met |= frozenset(self.ledger.trail[before:])
        result = self._result(frame)
        self._remembered[key] = (self.ledger.version, result, frame.met)
        return result

    def _run(self, frame: Frame, bound: list[Value]) -> None:
        if len(self.frames) >= DEPTH_MAX:
            raise Exhausted
        self.frames.append(frame)
        self.ledger.stack.append(frame)
        try:
            frame.enter(bound)
            frame.run()
        finally:
            self.frames.pop()
            self.ledger.stack.pop()

    def _result(self, frame: Frame) -> Value:
        if not frame.code.co_flags & _SUSPENDS:
            return frame.returned
        site = self.ledger.site((frame.code, "generator"))
        self.ledger.put(site, frame.yielded | frame.returned)
        return single(site)

    # --- classes ---------------------------------------------------------------------------------------------------

    def instantiate(self, cls: type, given: Given) -> Value:
        """Make an instance of a class."""
        meta = self.readable(class_attribute(type(cls), "__call__"))
        if issubclass(cls, type) and len(given.positional) == 3:
            kind = self.ledger.keeper(Origin.GLOBAL, cls.__name__, cls)
            return self.make_class(given, given.positional[1], {**given.keywords, "metaclass": kind})
        if meta is not None:
            return self.call_function(meta, given.after(self.ledger.keeper(Origin.GLOBAL, cls.__name__, cls)))
        name = dotted_name(cls)
        if is_library(name) or name in RULES:
            return self.native_function(name, cls, given)
        missing = self.readable(class_attribute(cls, "_missing_"))  # of an enumeration
        if missing is not None:
            self.call_function(missing, given.after(self.ledger.keeper(Origin.GLOBAL, cls.__name__, cls)))
        members = self.members_of(cls)
        if members:  # which it looks up
            return members
        if species(cls)[0] is Species.SCALAR:
            return EMPTY
        site = self.new_site(("instance", cls))
        site.cls, site.mutable = cls, True
        made: Value = single(site)
        self.own_special(site, "__del__", Given([]))
        constructors = [
            (special, function)
            for special in ("__new__", "__init__")
            if (function := self.readable(class_attribute(cls, special))) is not None
        ]
        for special, function in constructors:
            first = self.ledger.keeper(Origin.GLOBAL, cls.__name__, cls) if special == "__new__" else made
            result = self.call_function(function, given.after(first))
            made |= result if special == "__new__" else EMPTY
        if not constructors:
            site.opaque = True
            self.ledger.put(site, given.all())
            self.callbacks(given)
            self._hooks(site, cls, class_attribute(cls, "__init__"), given)
            if species(cls)[0] is Species.FOREIGN:
                self.foreign(cls.__name__, given)
        return made

    def build_class(self, given: Given) -> Value:
        """Run a class statement: its functions become the members of a class made during the call."""
        site = self.new_site("class")
        site.members = {} if site.members is None else site.members
        for place in given.first():
            if type(place) is Made:
                caller = self.frames[-1]
                key = self.ledger.frame_key(caller.key, caller.index, place.code)
                frame = Frame(self, place.code, place.module, caller.builtins, place.closure, key, ACTIONS)
                self._run(frame, [])
                site.members.update(frame.namespace)
                self.ledger.put(site, union(frame.namespace.values()))
        for base in given.positional[2:]:
            self.ledger.put(site, base)
            site.bases |= base
        for place in given.keywords.get("metaclass", EMPTY):
            self._instance_of(site, place)
        self._class_made(single(site), [*given.positional[2:], given.spread or EMPTY], given.keywords)
        for value in list(site.members.values()):
            for place in value:
                self._tell_name(place, single(site))
        return single(site)

    def make_class(self, given: Given, bases: Value, keywords: dict[str, Value]) -> Value:
        """Make a class of `given` by a call."""
        result = self.doubtful(given)
        made = single(self.new_site("result"))
        self._class_made(made, [self.ledger.inside(bases)], keywords)
        for place in self.ledger.inside(union(given.positional[2:])):
            self._tell_name(place, made)
        return result

    def _instance_of(self, site: Site, cls: Place) -> None:
        """Note that objects are of a class, which may be made during the call."""
        if type(cls) is Site and cls.members is not None:
            site.made_by = cls
            for base in cls.bases:
                if site.cls is None and type(base) is Site:
                    self._instance_of(site, base)
                    site.made_by = cls
        known_classes = self.classes_in(cls.bases if type(cls) is Site else single(cls))
        site.cls = known_classes[0] if known_classes else site.cls

    def _tell_name(self, place: Place, owner: Value) -> None:
        """An object becomes the attribute of a new class."""
        if isinstance(place, (Outside, Site)):
            self.own_special(place, "__set_name__", Given([owner, EMPTY]))

    def _class_made(self, made: Value, bases: list[Value], keywords: dict[str, Value]) -> None:
        """Call what the bases of a new class have for the case, and its metaclass."""
        known_bases = self.classes_in(union(bases))
        others = {name: value for name, value in keywords.items() if name != "metaclass"}
        for base in known_bases:
            function = self.readable(class_attribute(base, "__init_subclass__"))
            if function is not None:
                self.call_function(function, Given([made], others))
        for place in union(bases):
            if type(place) is Site and place.members is not None and "__init_subclass__" in place.members:
                self.call(place.members["__init_subclass__"], Given([made], others))
        named = [cls for cls in self.classes_in(keywords.get("metaclass", EMPTY)) if issubclass(cls, type)]
        for meta in dict.fromkeys([*map(type, known_bases), *named]):
            first = self.ledger.keeper(Origin.GLOBAL, meta.__name__, meta)
            for special in ("__prepare__", "__new__", "__init__"):
                function = self.readable(class_attribute(meta, special))
                if function is not None:
                    receiver = made if special == "__init__" else first
                    self.call_function(function, Given([receiver, EMPTY, union(bases), made], keywords))

    def _call_site(self, site: Site, given: Given) -> Value:
        """Call something made during the call: a class, or an instance."""
        if site.members is not None:
            return self._instantiate_made(site, given)
        if site.made_by is not None and (called := self.made_member(site, "__call__")):
            return self.call(called, given.after(single(site)))
        if site.cls is not None:
            method = self.readable(class_attribute(site.cls, "__call__"))
            if method is not None:
                return self.call_function(method, given.after(single(site)))
        # A wrapper made by a library (``np.vectorize(f)``, a partial) calls what was put into it.
        inside = self.ledger.inside(single(site))
        for place in inside:
            if looks_callable(place):
                self.call_place(place, Given([], {}, inside | self.ledger.reach(given.all())))
        if site.cls is operator.methodcaller:
            self.ledger.change(given.all(), "calls a method of")
        if site.cls is operator.attrgetter:
            names = [x.value for x in site.contents if type(x) is Const and type(x.value) is str]
            return self._attributes_of(given.first(), tuple(names))
        return self.call_fresh(inside, given)

    def _instantiate_made(self, cls: Site, given: Given) -> Value:
        """Make an instance of a class made during the call."""
        instance = self.new_site(("instance", cls))
        instance.opaque = instance.mutable = True
        self._instance_of(instance, cls)
        made = single(instance)
        self.ledger.put(instance, frozenset(cls.contents) | given.all())
        result = self.own_special(cls, "__call__", given)  # of a metaclass
        for name in ("__new__", "__init__", "__del__"):
            self.own_special(instance, name, given if name != "__del__" else Given([]))
        return made | result

    # --- methods of what was made during the call ------------------------------------------------------------------

    def _call_method_of_fresh(self, method: Method, given: Given) -> Value:
        owner, name = method.owner, method.name
        if type(owner) is Made and name == "__call__":
            return self._call_made(owner, given)
        if type(owner) is not Site:
            return self.method_of_constant(name, given)
        overriding = frozenset([place for place in self.made_member(owner, name) if type(place) is Made])
        if overriding:
            return self.call(overriding, given.after(single(owner)))
        if name[-1] == "*" and owner.cls is not None:
            methods = self.methods_like(owner.cls, name)
            if methods:
                return union([self.call_function(function, given.after(single(owner))) for function in methods])
        if owner.cls is not None and not is_library(home(owner.cls)):
            found = class_attribute(owner.cls, name)
            if is_any(found, (functools.singledispatchmethod, functools.partialmethod)):
                return self.call_object(found, EMPTY, given.after(single(owner)))
            if is_any(found, (staticmethod, classmethod)):
                cls = self.ledger.keeper(Origin.GLOBAL, owner.cls.__name__, owner.cls)
                return self.call_object(found, EMPTY, given if is_a(found, staticmethod) else given.after(cls))
            function = self.readable(found)
            if function is not None:
                return self._kept_by(found, self.call_function(function, given.after(single(owner))))
        local = [place for place in owner.contents if type(place) is Made and _is_called(place, name)]
        if local:
            owner.read = True
            return union([self._call_made(made, given.after(single(owner))) for made in local])
        result = self.native_method_of_fresh(owner, name, given)
        if owner.cls is not None:
            result |= self._hooks(owner, owner.cls, class_attribute(owner.cls, name), given)
        return result

    def _hooks(self, owner: Outside | Site, cls: type, method: object, given: Given) -> Value:
        """A method of a library is called of an object of the user's: it may call what the user's class has defined."""
        return self.call_hooks(owner, cls, given) if calls_hooks(method) else EMPTY

    def call_hooks(
        self, owner: Outside | Site, cls: type, given: Given, special: bool = False, stream: bool = False
    ) -> Value:
        """Call what a library may call of an object of the user's, its hooks or its special methods.

        Returns what that may give.
        """
        hooks = specials_of(cls) if special else hooks_of(cls, stream)
        if not hooks:
            return EMPTY
        site = self.ledger.site((owner, "hooks"))
        if owner not in self._hooked:
            self._hooked.add(owner)
            try:
                others = given.all() if special else self.ledger.reach(self.ledger.reach(given.all()))
                for hook in hooks:
                    apart = hook.__name__ == "__deepcopy__"  # it is given a dict, to keep what it has copied
                    result = self.call_function(hook, Given([single(owner)], {}, EMPTY if apart else others))
                    if hook.__name__ == "__iter__":
                        result |= self.iterate(result)
                    self.ledger.put(site, result)
            finally:
                self._hooked.discard(owner)
        return self.ledger.reach(single(site))

    def _call_bound(self, place: Bound, given: Given) -> Value:
        function = place.function
        if is_a(function, staticmethod):
            return self.call_object(function, EMPTY, given)
        function = _unwrapped(function)
        if is_a(function, types.FunctionType):
            result = self.call_object(function, EMPTY, given.after(place.receiver))
            for receiver in place.receiver:
                if isinstance(receiver, (Outside, Site)):
                    for cls in self.classes_of(single(receiver)):
                        result |= self._hooks(receiver, cls, function, given)
            return result
        name = dotted_name(function).rpartition(".")[2]
        if known.mutating(name):
            self.ledger.change(place.receiver, verb(name), atomic=name in known.ATOMIC_METHODS)
        else:
            self.ledger.look(place.receiver, DEEP)
        self.transforms(name, self.classes_of(place.receiver), given)
        self.put_into(place.receiver, given.all())
        return place.receiver if name == "__new__" else self.call_fresh(EMPTY, given)


#: Objects of the standard library that call a function of the user's, and the attribute that it is under.
_LATE: Final = {
    "functools.singledispatchmethod": "dispatcher",
    "contextlib._GeneratorContextManager": "func",
    "contextlib._AsyncGeneratorContextManager": "func",
}
_SUSPENDS: Final = 0x2A0  # generator, coroutine, asynchronous generator


def _is_called(made: Made, name: str) -> bool:
    own = made.code.co_name
    return own == name or (name[-1] == "*" and own.startswith(name[:-1]))


def _unwrapped(thing: object) -> object:
    return thing.__func__ if is_any(thing, (staticmethod, classmethod)) else thing  # type: ignore[attr-defined]


def _keyword_only(code: types.CodeType) -> tuple[str, ...]:
    return code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]


def _library_name(place: Outside) -> str:
    """Return the dotted name of what is reached from a module of a known library, but not loaded yet."""
    names: list[str] = []
    step: Outside | None = place
    while step is not None and step.examples is None:
        if step.origin is Origin.IMPORTED and step.parent is None and is_library(step.name):
            return step.name + "".join(names)
        names.insert(0, step.step)
        step = step.parent
    if step is None or not all(name[0] == "." for name in names):
        return ""
    for module in step.examples or ():
        name = home(module) + "".join(names)
        if is_a(module, types.ModuleType) and is_library(name):
            return name
    return ""
