"""Knows what a call of something may change that cannot be walked through: C, known libraries, compiled code.

What is believed of whom stands in the tables of `known`; what built-in functions give back, in `rules`.
"""

from __future__ import annotations

import types
from collections.abc import Iterable

from parallel_deco.routing import known
from parallel_deco.routing.arrays import ARRAY_RULES, are_arrays, plain_site
from parallel_deco.routing.caches import draws_from_kept
from parallel_deco.routing.hooks import ORDER, TEXT
from parallel_deco.routing.known import Species, is_library, species
from parallel_deco.routing.ledger import EffectKind, Ledger
from parallel_deco.routing.looks import ALL, DEEP, item_step
from parallel_deco.routing.lookup import MISSING, dotted_name, home, is_a, is_any, type_name
from parallel_deco.routing.orders import add_items, know_names, take_items
from parallel_deco.routing.outputs import (
    Written,
    asked_by_keyword,
    is_constant,
    written_by_function,
    written_by_method,
)
from parallel_deco.routing.rules import RULES, looks_callable, pairs, single, union
from parallel_deco.routing.tables import is_column, is_table
from parallel_deco.routing.values import (
    EMPTY,
    NO_ARGUMENTS,
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
    are_dicts,
    describe,
    gives_view,
    is_scalar,
)

__all__ = ["Natives", "verb", "words_for_unknown"]

_GIVES_ELEMENTS = frozenset(("get", "pop", "setdefault", "values", "keys", "__getitem__", "__iter__", "__next__"))
_GIVES_ONE = frozenset(("get", "__getitem__", "__contains__"))
_FINDING = frozenset(("index", "count", "remove", "__contains__", "__eq__", "get", "pop", "setdefault"))
_EXCHANGES = frozenset(("get", "get_nowait", "put", "put_nowait"))  # of a queue
_GIVES_PAIRS = frozenset(("items", "popitem", "most_common"))
_GIVES_NOTHING_BACK = ("pop", "get", "set", "fit", "add_", "__")
_ARRAY_MODULES = frozenset(("numpy", "scipy", "pandas", "torch"))
_STACKS = ("contextlib.ExitStack", "contextlib.AsyncExitStack")
_ENTERING = frozenset(("enter_context", "push", "enter_async_context", "push_async_exit"))
_CONTAINER_MODULES = frozenset(("builtins", "itertools", "random", "heapq", "_heapq"))


def verb(name: str) -> str:
    """Return words for calling a method that changes its receiver."""
    return known.VERBS.get(name) or f"calls .{name}() of"


class Natives:
    """Calls by name only."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    # --- provided by whoever can walk through functions --------------------------------------------------------

    def call_place(self, place: Place, given: Given) -> Value:
        """Call what is kept at `place`."""
        raise NotImplementedError

    def call(self, callee: Value, given: Given) -> Value:
        """Call what `callee` may be."""
        raise NotImplementedError

    def attribute(self, value: Value, name: str, to_call: bool = False) -> Value:
        """Return what an attribute of `value` may be."""
        raise NotImplementedError

    def iterate(self, value: Value) -> Value:
        """Return what an iterator over `value` may be."""
        raise NotImplementedError

    def loop_over(self, value: Value) -> Value:
        """Return what a loop's iterator over `value` may be."""
        raise NotImplementedError

    def item(self, value: Value, key: Value) -> Value:
        """Return what ``value[key]`` may be."""
        raise NotImplementedError

    def set_attribute(self, place: Outside | Site, name: str, value: Value) -> None:
        """Set an attribute, by its setter if it has one."""
        raise NotImplementedError

    def delete_attribute(self, owner: Value, name: str) -> None:
        """Call what is called where an attribute is deleted."""
        raise NotImplementedError

    def operate(self, value: Value, name: str, given: Given) -> Value:
        """Call the special method of an operator, where the class of `value` is known and defines it."""
        raise NotImplementedError

    def own_special(self, place: Outside | Site, name: str, given: Given) -> Value:
        """Call a special method that is written in Python."""
        raise NotImplementedError

    def build_class(self, given: Given) -> Value:
        """Run a class statement."""
        raise NotImplementedError

    def ask_classes(self, classes: Value) -> None:
        """Ask classes whether something is of theirs."""
        raise NotImplementedError

    def make_class(self, given: Given, bases: Value, keywords: dict[str, Value]) -> Value:
        """Make a class of `given` by a call."""
        raise NotImplementedError

    def super_of(self, given: Given) -> Value:
        """Return what ``super()`` gives."""
        raise NotImplementedError

    def classes_of(self, value: Value) -> list[type]:
        """Return the classes that are known of `value`."""
        raise NotImplementedError

    def module_in_force(self) -> dict[str, object]:
        """Return the globals of the function under way."""
        raise NotImplementedError

    def data_root(self, place: Outside) -> Outside:
        """Return the data of a known library from which a place is reached by names alone, or the place."""
        raise NotImplementedError

    def of_data(self, place: Outside) -> bool:
        """Say whether a place holds data of a known library, or what is reached from it by names alone."""
        raise NotImplementedError

    def ask(self, value: Value, names: Iterable[str] = (), given: Given = NO_ARGUMENTS, deep: bool = False) -> None:
        """Call special methods of objects, and of what is in containers: these, or all that anybody may call."""
        raise NotImplementedError

    def call_hooks(
        self, owner: Outside | Site, cls: type, given: Given, special: bool = False, stream: bool = False
    ) -> Value:
        """Call what a library may call of an object of the user's, its hooks or its special methods."""
        raise NotImplementedError

    def new_site(self, kind: object) -> Site:
        """Return the site of what the call under way makes."""
        raise NotImplementedError

    # --- calls ---------------------------------------------------------------------------------------------------

    def call_fresh(self, callee: Value, given: Given) -> Value:
        """Call an object of which nothing is known but that it does not come from outside."""
        self.ledger.look(given.all(), DEEP)
        self.outputs(given)
        self.callbacks(given)
        return callee | self.doubtful(given)

    def native_function(self, name: str, thing: object, given: Given) -> Value:
        """Call a function that is known by its dotted name only; `thing` is the function, or `MISSING`."""
        if name not in known.LOOKS_AT_NOTHING:
            self._look_at(given, name.rpartition(".")[2])
            if name not in known.COPIES:
                self.hand_over(given.all(), f"{name}()")
        rule = RULES.get(name) or ARRAY_RULES.get(name)
        if rule is not None:
            if name in ARRAY_RULES:
                self.ask(given.all())
            return rule(self, given)
        true_name = name if thing is MISSING else dotted_name(thing)
        last = name.rpartition(".")[2]
        self._written_by_native(name, true_name, thing, given)
        if last in known.LOOP_OF_THREAD and home(thing).partition(".")[0] in ("asyncio", "_asyncio"):
            self.ledger.use_loop(last)
        if true_name.startswith("_operator."):
            self.operate(given.first(), f"__{last.strip('_')}__", Given(given.positional[1:]))
        if true_name.startswith(("pickle.", "_pickle.")):
            self.ask(given.first(), deep=True)
        if known.shares_random(name) or known.draws(name, given.keywords):
            self.ledger.draw(f"the shared random stream with {name}()", last)
        if not is_library(name) and not is_library(home(thing)):
            self.foreign(name, given)
        given_back = self.callbacks(given, stream=known.takes_stream(name) or known.takes_stream(true_name))
        result = self._native_result(name, thing, last, given)
        if name.startswith("functools."):  # a decorator, which gives no more than a function
            return result
        self.put_into(result, given_back)
        return result | given_back

    def _written_by_native(self, name: str, true_name: str, thing: object, given: Given) -> None:
        """Write down what a function changes: the process, what it is given, or what it is asked to write to."""
        last, first = name.rpartition(".")[2], given.first()
        setting = known.sets_something(name) and not any(map(_is_object, first))
        if setting or known.changes_process(name) or known.changes_process(true_name):
            self.ledger.record(EffectKind.WRITES_GLOBAL, f"changes the state of the process with {name}()")
        elif known.sets_something(name) or _is_mutating_method(thing, last):
            self.ledger.change(first, f"changes, with {name}(),")
            self.put_into(first, union(given.positional[1:]))
        if name in known.MUTATES_FIRST or true_name in known.MUTATES_FIRST:
            self.ledger.change(first or union(given.keywords.values()), f"changes, with {name}(),")
            self.put_into(first, union(given.positional[1:]))
        elif name in known.MUTATES_SECOND or true_name in known.MUTATES_SECOND:
            self.ledger.change(union(given.positional[1:2]), f"writes, with {name}(), to")
        elif is_any(thing, (types.MethodDescriptorType, types.WrapperDescriptorType)) and known.mutating(last):
            self.ledger.change(first, verb(last), atomic=last in known.ATOMIC_METHODS)
            self.put_into(first, union(given.positional[1:]))
        if last in known.CONSUMING:
            self.ledger.change(given.all(), "fills")
        self.outputs(given, given.all())
        self._write(written_by_function(thing, last, given))

    def _look_at(self, given: Given, name: str) -> None:
        """What is given is looked at, unless it is only kept, as by ``list.append``."""
        if name not in known.ATOMIC_METHODS:
            self.ledger.look(given.all(), DEEP)

    def hand_over(self, value: Value, taker: str) -> None:
        """A stream, an iterator or a random generator of the caller's is elsewhere when somebody has used it."""
        for place in value:
            if type(place) is not Outside or place.origin is not Origin.ARGUMENT:
                continue
            if place.step == ".bit_generator" and place.parent is not None:
                place = place.parent
            if place.path and not any(known.is_used_up(type(thing)) for thing in place.examples or ()):
                continue  # a part: to be sure of it for each item would take as long as to read all that it has
            if place.examples is None:  # what it is matters only if it is one of these: no reason to read it for each
                self.ledger.hands_over = self.ledger.hands_over or not place.path
                continue
            if self._is_stream(place):
                self.ledger.change(single(place), f"hands to {taker}")
            if any(species(type(thing))[0] is Species.RANDOM for thing in place.examples):
                self.ledger.draw(f"{describe(place)}, a random generator, with {taker}")
            self.ledger.uses_up(single(place))

    def _is_stream(self, place: Outside) -> bool:
        return any(species(type(thing)) == known.STREAM for thing in self.ledger.ask(place) or ())

    def _native_result(self, name: str, thing: object, last: str, given: Given) -> Value:
        module = name.partition(".")[0]
        if is_a(thing, type) and last not in known.ALIASING:
            site = self.new_site(("made by", name))
            site.opaque = site.mutable = True
            site.cls = thing
            self.ledger.put(site, self.ledger.reach(given.all()))
            return single(site)
        if module not in known.FRESH_MODULES or last in known.ALIASING or "copy" in given.keywords:
            return self.doubtful(given)
        site = self.new_site(("made by", name))
        site.opaque, site.mutable = True, module in _ARRAY_MODULES
        if module in _CONTAINER_MODULES:
            self.ledger.put(site, self.ledger.inside(given.all()))
        return single(site)

    def native_method(self, owner: Outside, name: str, given: Given) -> Value:
        """Call a method, known by its name only, of something of the outside."""
        receiver = single(owner)
        self._look_at(given, name)
        self._ask_elements(receiver, name)
        if name not in known.KEEPS:
            self.hand_over(given.all(), f"{name}()")
        if known.mutating(name) and not self._gives_new(owner, name):
            self.ledger.change(receiver, verb(name), atomic=name in known.ATOMIC_METHODS)
            if name in known.HANDS_OUT and not self.ledger.is_dropped():
                self.ledger.look(receiver, item_step(given.first()) if name == "pop" else ALL)
        elif owner.origin is Origin.ARGUMENT and name not in known.STREAM_LOOKS and self._is_stream(owner):
            self.ledger.change(receiver, verb(name))
        else:
            if not (gives_view(name) and are_arrays(owner.examples)):
                self.ledger.look(receiver, item_step(given.first()) if name in _GIVES_ONE else ALL)
            if name != "copy" and any(known.is_stateful(type(thing)) for thing in owner.examples or ()):
                self.ledger.change(receiver, verb(name))
        if name in _EXCHANGES:
            self.ledger.meet_others(owner, gets=name[:3] == "get")
        if name in known.CONSUMING:
            self.ledger.change(given.all(), "fills")
        if name in known.LOGGING_SETTINGS:
            self.set_logging(name)
        self.transforms(name, [type(thing) for thing in owner.examples or ()], given)
        if any(known.method_draws(name, type(thing), given.keywords) for thing in owner.examples or (None,)):
            self._draws(name)
        of_data = given.unnamed and self.of_data(owner)
        self._write(written_by_method(name, given, receiver, of_data))
        self._outputs_of_method(name, given, receiver)
        self.callbacks(given, asking=known.ASKED_BY.get(name))
        if name in known.APPLYING:
            self._apply(owner, name, given)
        return self._method_result(owner, name, given)

    def _apply(self, owner: Outside, name: str, given: Given) -> None:
        """``column.map(f)``, ``table.apply(f, axis=1)``."""
        functions = frozenset(filter(looks_callable, given.all()))
        if not functions or not (name == "pipe" or self.of_data(owner)):
            return
        others = given.all() - functions
        self.call(functions, Given([self._part_of(owner, name)], {}, self.ledger.reach(others) if others else None))

    def _part_of(self, owner: Outside, name: str) -> Value:
        """Return what a method of a column or table gives to a function: a cell, or a copy that has the same cells."""
        if name == "pipe":
            return single(owner)
        of_cells = all(map(is_column, owner.examples or (None,)))
        found = self.ledger.child(owner, "[]")
        found = found if of_cells else self.ledger.inside(found)
        cells = frozenset([cell for cell in found if type(cell) is not Outside or cell.examples is not None])
        if name in ("map", "applymap") or (name == "apply" and of_cells):
            return cells
        copied = self.new_site("copied")
        copied.opaque = copied.mutable = True
        self.ledger.put(copied, cells)
        return single(copied)

    def _ask_elements(self, receiver: Value, name: str) -> None:
        """A container compares what it contains, to sort it or to find something; or makes up what it misses."""
        if name == "sort":
            self.ask(self.ledger.inside(receiver), ORDER, Given([EMPTY]))
        elif name in _FINDING:
            self.ask(self.ledger.inside(receiver), ("__eq__",), Given([EMPTY]))
        elif name == "__getitem__":
            self.operate(receiver, "__missing__", Given([EMPTY]))

    def _gives_new(self, owner: Outside, name: str) -> bool:
        examples = self.ledger.ask(self.data_root(owner)) if known.may_give_new(name) else None
        return bool(examples) and all(known.gives_new(type(thing), name) for thing in examples or ())

    def _draws(self, name: str) -> None:
        """``norm.rvs(size=3)`` draws from NumPy's shared stream, unless it is given another."""
        self.ledger.draw(f"the shared random stream with .{name}()")

    def transforms(self, name: str, classes: list[type], given: Given) -> None:
        """``ast.NodeTransformer().visit(tree)`` puts what its methods give into the tree."""
        if any(known.transforms(name, cls) for cls in classes):
            self.ledger.change(given.first(), f"transforms, with .{name}(),")

    def set_logging(self, name: str) -> None:
        """A logger is configured: loggers belong to the process, whoever asked for one."""
        self.ledger.record(EffectKind.WRITES_GLOBAL, f"configures logging with {name}()")

    def _method_result(self, owner: Outside, name: str, given: Given) -> Value:
        site = self.new_site(("result", owner, name))
        if name in _GIVES_PAIRS:
            return self._pairs(owner, name)
        if name in known.SHALLOW_METHODS:
            self.copy_into(site, owner)
            take_items(self.ledger, single(site), single(owner))
        fresh = name in known.FRESH_METHODS and not any(known.finds_parts(type(x), name) for x in owner.examples or ())
        if fresh and "copy" not in given.keywords and not given.unnamed:
            return single(plain_site(site, self.ledger, name == "argsort" and are_arrays(self.ledger.ask(owner))))
        copies = given.keywords.get("copy")
        new = copies is None and "inplace" not in given.keywords and self._gives_new(owner, name)
        if new or (copies and is_constant(copies, True) and self.of_data(owner)):
            self.copy_into(site, owner)
            return single(site)
        if name == "__enter__":
            return single(owner)
        if name in _GIVES_ELEMENTS:
            inner = self.ledger.child(owner, "[]") | union(given.positional[1:])
            self.ledger.put(site, inner)
            return inner | single(site)
        inner = self.ledger.child(owner, f".{name}()")
        self.ledger.put(site, inner)
        return inner | single(site)

    def copy_into(self, site: Site, owner: Outside) -> None:
        """A container, array or table is copied: a column of a copied table has the same cells."""
        found = self.ledger.child(owner, "[*]")
        site.opaque |= any(map(is_table, owner.examples or ()))
        self.ledger.put(site, found | single(site) if found and site.opaque else found)

    def _pairs(self, owner: Outside | Site, name: str) -> Value:
        """Return the pairs of a dict: what is unpacked from one is an element."""
        inner = keys = self.ledger.inside(single(owner))
        if type(owner) is Outside and are_dicts(self.ledger.ask(owner)):
            keys = self.ledger.inside(self.ledger.child(owner, "[keys]"))
        return pairs(self, [keys, EMPTY if name == "most_common" else inner], one=name == "popitem")

    def native_method_of_fresh(self, owner: Site, name: str, given: Given) -> Value:
        """Call a method, known by its name only, of something that was made during the call."""
        everything = given.all()
        self._look_at(given, name)
        self._ask_elements(single(owner), name)
        if name not in known.KEEPS:
            self.hand_over(given.all(), f"{name}()")
        draws_from_kept(self.ledger, owner)
        if known.mutating(name):
            self.ledger.change(single(owner), verb(name))
        if name in known.CONSUMING:
            self.ledger.change(everything, "fills")
        if name in known.LOGGING_SETTINGS:
            self.set_logging(name)
        self.transforms(name, [owner.cls] if owner.cls is not None else [], given)
        if name == "shuffle":  # of a random generator
            self.ledger.change(given.first(), "shuffles")
        stacks = name in _ENTERING and type_name(owner.cls or object) in _STACKS
        entered = self._enter(given.first(), name) if stacks else None
        if known.method_draws(name, owner.cls, given.keywords):
            self._draws(name)
        self._write(written_by_method(name, given, EMPTY, False))
        self._outputs_of_method(name, given)
        self.callbacks(given, asking=known.ASKED_BY.get(name))
        self._put_by_method(owner, name, given)
        owner.read = True
        return self._result_of_fresh(owner, name, given) if entered is None else entered

    def _put_by_method(self, owner: Site, name: str, given: Given) -> None:
        """Put into what was made during the call what a method of it is given."""
        everything = given.all()
        extends = name in ("extend", "update", "extendleft")
        if extends:
            self.ledger.uses_up(everything)
        if name == "update":  # with pairs, perhaps
            add_items(self.ledger, single(owner), given)
            self.ledger.put(owner, self.ledger.inside(self.ledger.inside(everything)))
        elif known.mutating(name) and name not in known.HANDS_OUT:
            know_names(single(owner), False)
        if name not in known.FRESH_METHODS:
            self.ledger.put(owner, self.ledger.reach(everything) if extends else everything)
        owner.opaque |= name == "__setattr__"

    def _result_of_fresh(self, owner: Site, name: str, given: Given) -> Value:
        """Return what a method of something that was made during the call may give."""
        everything = given.all()
        if name in _GIVES_PAIRS:
            return self._pairs(owner, name)
        if name == "__enter__" and _gives_another(owner.cls):
            return single(owner) | frozenset(owner.contents)
        if name in ("__enter__", "__iter__"):
            return single(owner)
        if known.mutating(name) and not name.startswith(_GIVES_NOTHING_BACK):
            return EMPTY
        result = self.new_site(("result", name))
        result.opaque = owner.opaque
        if name == "copy":
            take_items(self.ledger, single(result), single(owner))
        self.ledger.put(result, frozenset(owner.contents) | everything)
        if name in known.FRESH_METHODS:
            return single(result)
        return single(result) | frozenset(owner.contents) | self.ledger.inside(everything)

    def _enter(self, context: Value, name: str) -> Value:
        """``stack.enter_context(context)``."""
        marks = ("__aenter__", "__aexit__") if "async" in name else ("__enter__", "__exit__")
        entered, _ = [self.call(self.attribute(context, mark, to_call=True), Given([])) for mark in marks]
        return context if "push" in name else entered

    def method_of_constant(self, name: str, given: Given) -> Value:
        """Call a method of a text, bytes or number of the code."""
        if name == "join":
            self.hand_over(given.all(), f"{name}()")
        if name == "format":
            self.make_text(given.all())
        self.callbacks(given)
        return EMPTY

    def make_text(self, value: Value) -> None:
        """Call what makes a text of an object."""
        self.ask(value, TEXT, Given([EMPTY]))

    # --- what goes in --------------------------------------------------------------------------------------------

    def outputs(self, given: Given, receiver: Value = EMPTY) -> None:
        """Look at the keyword arguments that ask a library to write in place."""
        self._write(asked_by_keyword(given, receiver))

    def _write(self, written: Iterable[Written]) -> None:
        for value, words in written:
            self.ledger.change(value, words)

    def _outputs_of_method(self, name: str, given: Given, receiver: Value = EMPTY) -> None:
        if name in known.WRITES_TO_FIRST:
            self.ledger.change(given.first(), f"writes, with .{name}(), to")
        self.outputs(given, receiver)

    def foreign(self, name: str, given: Given) -> None:
        """Pass captured objects to compiled code that nobody knows: in doubt, it changes them."""
        for place in given.all():
            if type(place) is Outside and place.origin is not Origin.ARGUMENT and not looks_callable(place):
                self.ledger.change(single(place), f"passes to {name}(), which is compiled,")

    def callbacks(
        self, given: Given, objects: bool = True, stream: bool = False, asking: tuple[str, ...] | None = None
    ) -> Value:
        """Functions that are passed to somebody else are called by him, with whatever else he got.

        So are methods of `objects`, unless it is known which: then the caller sees to that; and where one is taken as
        a `stream`, those that streams have. Of their special methods, those of `asking`, or all.

        Returns what the functions give.
        """
        result = EMPTY
        values = [*given.positional, *given.keywords.values(), *([given.spread] if given.spread else [])]
        self.ledger.spend(1)  # methods of what is passed may pass one another on for long
        if objects and asking != ():
            self.ask(given.all(), asking or (), Given([given.all()]))
        for value in values:
            for place in value:
                kind = type(place)
                if kind is Const:
                    continue
                if type(place) is Site:
                    if objects:
                        self._passed_object(place, place.cls, given, stream)
                    inside = _callables_in(place)
                    if inside:  # the functions of ``np.piecewise(x, …, [f, g])``
                        others = [other for other in values if other is not value]
                        result |= self.callbacks(Given([inside, *others]))
                    continue
                if kind is Outside and not looks_callable(place):
                    for thing in (place.examples or ()) if objects else ():  # type: ignore[union-attr]
                        self._passed_object(place, type(thing), given, stream)  # type: ignore[arg-type]
                    self._passed_method(place)  # type: ignore[arg-type]
                elif kind is Made or kind is Bound or kind is Outside or self._of_site(place):
                    others = [self.ledger.reach(self.ledger.reach(other)) for other in values if other is not value]
                    result |= self.call_place(place, Given([], {}, union(others)))
        return result

    @staticmethod
    def _of_site(place: Place) -> bool:
        return type(place) is Method and type(place.owner) is Site

    def _passed_object(self, place: Outside | Site, cls: type | None, given: Given, stream: bool) -> None:
        """``xml.sax.parse(file, handler)``: the library calls methods of what it is given, or compares it."""
        if cls is not None and not is_library(home(cls)):
            self.call_hooks(place, cls, given, stream=stream)

    def _passed_method(self, place: Outside) -> None:
        """``map(log.append, xs)``: a method of the outside is handed over."""
        parent = place.parent
        if parent is None or place.step[:1] != "." or place.examples is not None:
            return
        if known.mutating(place.step[1:]):
            name = place.step[1:]
            self.ledger.change(single(parent), verb(name), atomic=name in known.ATOMIC_METHODS)
        elif any(species(type(thing))[0] is Species.PLAIN for thing in self.ledger.ask(parent) or ()):
            self.call_place(place, Given([], {}, EMPTY))

    # --- what comes out ------------------------------------------------------------------------------------------

    def doubtful(self, given: Given) -> Value:
        """Return a result that may be new, an argument, or a part of one."""
        everything = given.all()
        site = self.new_site("result")
        site.opaque = True
        if not everything:
            return single(site)
        reached = frozenset([place for place in self.ledger.reach(everything) if type(place) is not Const])
        self.ledger.put(site, reached)
        return reached | single(site)

    def put_into(self, value: Value, contents: Value) -> None:
        """Put `contents` into those of the places of `value` that were made during the call."""
        for place in value:
            if type(place) is Site:
                self.ledger.put(place, contents)


def _gives_another(cls: type | None) -> bool:
    """Say whether a context of this class gives what it was made of: that of a generator, `contextlib.nullcontext`."""
    return cls is None or (home(cls) == "contextlib" and type_name(cls) not in _STACKS)


def _is_object(place: Place) -> bool:
    """Say whether a place may hold what somebody can change: no text, which may name anything."""
    if type(place) is Outside:
        return not is_scalar(place.examples)
    return type(place) is Site and not place.prefix


def _is_mutating_method(thing: object, name: str) -> bool:
    """Say whether it is a method in Python of a library, which is called by way of its class."""
    return (
        is_a(thing, types.FunctionType)
        and thing.__qualname__[-len(name) - 1 : -len(name)] == "."
        and (known.mutating(name) and "<locals>" not in thing.__qualname__)
    )


def _callables_in(site: Site, depth: int = 3) -> Value:
    """Return the functions in tuples and lists that were made during the call."""
    if site.fields is None and not site.listed:
        return EMPTY
    inner = [place for place in site.contents if type(place) is Site]
    below = [_callables_in(place, depth - 1) for place in inner] if depth else []
    return frozenset(filter(looks_callable, site.contents)).union(*below)


def words_for_unknown(place: Outside) -> str:
    """Return words for a callable of which nothing is known."""
    missing = ", which is not defined yet" if not place.path and place.origin is Origin.GLOBAL else ""
    return f"calls {describe(place)}{missing}"
