"""The built-in functions that need a rule of their own: what they use up, and what their result shares."""

from __future__ import annotations

import functools
import os
import sys
import types
from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeAlias

from parallel_deco.routing.hooks import IDENTITY, ORDER, TRUTH_OF
from parallel_deco.routing.known import Species, own_function, species
from parallel_deco.routing.ledger import OF_MAIN, EffectKind, Ledger
from parallel_deco.routing.lookup import MISSING, attribute, class_attribute, is_a, is_any, loaded
from parallel_deco.routing.orders import add_items
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
)

__all__ = [
    "CALLABLES",
    "RULES",
    "Caller",
    "Rule",
    "looks_callable",
    "pairs",
    "single",
    "union",
]

CALLABLES: Final = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    functools.partial,
    functools._lru_cache_wrapper,
    types.MethodWrapperType,
)
_DESCRIPTORS: Final = (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)


_NUMBERS: Final = (int, float, complex, bool)
_CONTAINERS: Final = (list, tuple, set, frozenset, range)


class Caller(Protocol):
    """What a rule needs of the one who reads calls."""

    ledger: Ledger

    def call(self, callee: Value, given: Given) -> Value:
        """Call what `callee` may be."""
        ...

    def attribute(self, value: Value, name: str, to_call: bool = False) -> Value:
        """Return what an attribute of `value` may be."""
        ...

    def iterate(self, value: Value) -> Value:
        """Return what an iterator over `value` may be."""
        ...

    def loop_over(self, value: Value) -> Value:
        """Return what a loop's iterator over `value` may be."""
        ...

    def item(self, value: Value, key: Value) -> Value:
        """Return what ``value[key]`` may be."""
        ...

    def set_attribute(self, place: Outside | Site, name: str, value: Value) -> None:
        """Set an attribute, by its setter if it has one."""
        ...

    def delete_attribute(self, owner: Value, name: str) -> None:
        """Call what is called where an attribute is deleted."""
        ...

    def operate(self, value: Value, name: str, given: Given) -> Value:
        """Call the special method of an operator, where the class of `value` is known and defines it."""
        ...

    def ask(self, value: Value, names: Iterable[str] = (), given: Given = NO_ARGUMENTS, deep: bool = False) -> None:
        """Call special methods of objects, and of what is in containers: these, or all that anybody may call."""
        ...

    def own_special(self, place: Outside | Site, name: str, given: Given) -> Value:
        """Call a special method that is written in Python."""
        ...

    def build_class(self, given: Given) -> Value:
        """Run a class statement."""
        ...

    def ask_classes(self, classes: Value) -> None:
        """Ask classes whether something is of theirs."""
        ...

    def make_text(self, value: Value) -> None:
        """Call what makes a text of an object."""
        ...

    def make_class(self, given: Given, bases: Value, keywords: dict[str, Value]) -> Value:
        """Make a class of `given` by a call."""
        ...

    def super_of(self, given: Given) -> Value:
        """Return what ``super()`` gives."""
        ...

    def classes_of(self, value: Value) -> list[type]:
        """Return the classes that are known of `value`."""
        ...

    def module_in_force(self) -> dict[str, object]:
        """Return the globals of the function under way."""
        ...

    def new_site(self, kind: object) -> Site:
        """Return the site of what the call under way makes."""
        ...

    def outputs(self, given: Given, receiver: Value = EMPTY) -> None:
        """Look at the keyword arguments that ask to write in place."""
        ...

    def callbacks(self, given: Given, objects: bool = True, stream: bool = False) -> Value:
        """Call the functions among the arguments, and methods of `objects` among them."""
        ...

    def doubtful(self, given: Given) -> Value:
        """Return a result that may be anything given."""
        ...

    def put_into(self, value: Value, contents: Value) -> None:
        """Put `contents` into what was made during the call."""
        ...


Rule: TypeAlias = Callable[[Caller, Given], Value]
RULES: Final[dict[str, Rule]] = {}


def single(place: Place) -> Value:
    """Return the value that is exactly `place`."""
    return frozenset((place,))


def union(values: Iterable[Value]) -> Value:
    """Return all that one of `values` may be."""
    return EMPTY.union(*values)


def looks_callable(place: Place) -> bool:
    """Say whether a place holds something that is there to be called."""
    if type(place) is Outside:
        return place.examples is not None and any(_is_callable(thing) for thing in place.examples)
    return type(place) in (Made, Method, Bound)


def _is_callable(thing: object) -> bool:
    if is_any(thing, CALLABLES) or is_any(thing, _DESCRIPTORS) or is_a(thing, type):
        return True
    method = class_attribute(type(thing), "__call__")
    return is_a(method, types.FunctionType) and own_function(method)


def _rule(names: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        for name in names.split():
            RULES[name] = rule
        return rule

    return register


@_rule("""
    builtins.id builtins.ord builtins.callable
""")
def _number_or_text(caller: Caller, given: Given) -> Value:
    caller.ledger.uses_up(given.all())
    return EMPTY


@_rule("builtins.hasattr")
def _hasattr(caller: Caller, given: Given) -> Value:
    if len(given.positional) == 2:
        for place in given.positional[1]:
            if type(place) is Const and type(place.value) is str:
                caller.attribute(given.first(), place.value)
    return _number_or_text(caller, given)


@_rule("builtins.isinstance builtins.issubclass")
def _isinstance(caller: Caller, given: Given) -> Value:
    for kinds in given.positional[1:2]:
        within = caller.ledger.inside(kinds)
        caller.ask_classes(kinds | within | caller.ledger.inside(within))
    return _number_or_text(caller, given)


@_rule("contextlib.closing")
def _closing(caller: Caller, given: Given) -> Value:
    caller.call(caller.attribute(given.first(), "close", to_call=True), Given([]))
    return caller.doubtful(given)


@_rule("""
    logging.debug logging.info logging.warning logging.error logging.critical logging.exception logging.log
""")
def _log(caller: Caller, given: Given) -> Value:
    """What is logged is made a text, perhaps."""
    caller.make_text(given.all())
    return EMPTY


@_rule("builtins.any builtins.all")
def _some(caller: Caller, given: Given) -> Value:
    elements = caller.ledger.inside(caller.iterate(given.first()))
    for name in TRUTH_OF:
        caller.operate(elements, name, NO_ARGUMENTS)
    return EMPTY


#: What built-in functions call of their first argument.
_CALLED: Final = {
    "len": "__len__",
    "abs": "__abs__",
    "int": "__int__ __index__ __trunc__",
    "float complex": "__float__ __complex__ __index__",
    "bool": "__bool__ __len__",
    "chr bin hex oct range": "__index__",
    "round": "__round__",
    "bytes": "__bytes__ __iter__ __index__",
}
#: What they make a text of, with all that it contains.
_TOLD: Final = {"repr ascii": "__repr__", "str": "__str__ __repr__", "format": "__format__ __str__ __repr__"}


def _special(caller: Caller, given: Given, *, names: list[str]) -> Value:
    for name in names:
        caller.operate(given.first(), name, Given(given.positional[1:]))
    return _number_or_text(caller, given)


def _told(caller: Caller, given: Given, *, names: list[str]) -> Value:
    caller.ask(given.first(), names, Given(given.positional[1:]))
    return _number_or_text(caller, given)


@_rule("builtins.divmod builtins.pow")
def _both(caller: Caller, given: Given) -> Value:
    for name in ("__divmod__", "__pow__"):
        caller.operate(given.first(), name, Given(given.positional[1:]))
    for name in ("__rdivmod__", "__rpow__"):
        caller.operate(union(given.positional[1:2]), name, Given(given.positional[:1]))
    return _number_or_text(caller, given)


for _asking, _table in ((_special, _CALLED), (_told, _TOLD)):
    for _functions, _names in _table.items():
        _rule(" ".join(f"builtins.{name}" for name in _functions.split()))(
            functools.partial(_asking, names=_names.split())
        )


_SLICE: Final = single(Const(slice(None)))


@_rule("builtins.slice")
def _slice(caller: Caller, given: Given) -> Value:
    return _SLICE


@_rule("builtins.hash")
def _hash(caller: Caller, given: Given) -> Value:
    """A hash of text is another in each process, unless the user fixed the seed; only of numbers it is the same."""
    value = given.first()
    caller.ask(value, ("__hash__",))
    within = caller.ledger.stack[-1].code.co_name == "__hash__"  # what it gives is kept by none but dicts and sets
    if not within and not (_seed_is_fixed() or (value and all(_is_number(place, caller.ledger) for place in value))):
        caller.ledger.record(
            EffectKind.DIFFERS, "calls hash(), which gives another number in each process", atomic=True
        )
    return EMPTY


def _seed_is_fixed() -> bool:
    """Whether worker processes hash as this one: they get its environment as it is now, it had the one at its start."""
    seed = os.environ.get("PYTHONHASHSEED", "")
    if not seed.isdecimal() or sys.flags.ignore_environment or (int(seed) > 0) != sys.flags.hash_randomization:
        return False
    try:
        with open("/proc/self/environ", "rb") as environment:  # programs that "seed everything" set it too late
            return b"PYTHONHASHSEED=" + seed.encode() in environment.read().split(b"\0")
    except OSError:
        return False


def _is_number(place: Place, ledger: Ledger) -> bool:
    """Whether a place holds nothing but numbers, as an argument or as an element of a container of them."""
    step: Place | None = place
    while type(step) is Outside and step.step == "[]" and step.parent is not None:
        step = step.parent
        if step.examples is None or not all(type(thing) in _CONTAINERS for thing in step.examples):
            return False
    if type(place) is not Outside or type(step) is not Outside or step.parent is not None:
        return False
    examples = ledger.ask(place)
    return examples is not None and all(type(thing) in _NUMBERS for thing in examples)


@_rule("builtins.print")
def _print(caller: Caller, given: Given) -> Value:
    caller.ask(union(given.positional), ("__str__", "__repr__"))
    caller.outputs(given)
    for name in ("write", "flush") if "file" in given.keywords else ():
        caller.call(caller.attribute(given.keywords["file"], name, to_call=True), Given([EMPTY]))
    return EMPTY


@_rule("builtins.list builtins.iter collections.deque builtins.bytearray itertools.chain itertools.cycle")
def _container(caller: Caller, given: Given) -> Value:
    for name in ("__length_hint__", "__len__"):
        caller.operate(given.first(), name, NO_ARGUMENTS)
    return _contained(caller, given)


@_rule("itertools.islice")
def _islice(caller: Caller, given: Given) -> Value:
    caller.operate(union(given.positional[1:]), "__index__", NO_ARGUMENTS)
    return _contained(caller, given)


@_rule("builtins.reversed")
def _reversed(caller: Caller, given: Given) -> Value:
    for name in ("__reversed__", "__len__", "__getitem__"):
        caller.operate(given.first(), name, Given([EMPTY]))
    return _contained(caller, given)


@_rule("itertools.chain.from_iterable")
def _chained(caller: Caller, given: Given) -> Value:
    return _container(caller, Given([caller.ledger.inside(caller.loop_over(given.first()))]))


@_rule("itertools.tee")
def _tee(caller: Caller, given: Given) -> Value:
    return _holding(caller, _contained(caller, given), "tee")


def _contained(caller: Caller, given: Given, *compared: str) -> Value:
    """The elements are `compared` by special methods of theirs."""
    caller.callbacks(given, objects=False)
    contents = _elements(caller, given)
    _compare(caller, contents, compared)
    return _holding(caller, contents)


def _elements(caller: Caller, given: Given) -> Value:
    """Return what is in the arguments, which are looped over."""
    return union([caller.ledger.inside(caller.loop_over(x)) for x in (*given.positional, given.spread or EMPTY)])


def _compare(caller: Caller, elements: Value, names: Iterable[str]) -> None:
    """Elements are sorted, told apart or added."""
    for name in names:
        caller.ask(elements, (name,), NO_ARGUMENTS if name == "__hash__" else Given([elements]))


@_rule("builtins.sorted")
def _sorted(caller: Caller, given: Given) -> Value:
    result = _contained(caller, given._replace(keywords={}))
    _put_in_order(caller, caller.ledger.inside(result), given)
    return result


def _put_in_order(caller: Caller, elements: Value, given: Given) -> None:
    key = given.keywords.get("key", EMPTY)
    _compare(caller, caller.call(key, Given([elements])) if key else elements, ORDER)


@_rule("builtins.set")
def _set(caller: Caller, given: Given) -> Value:
    return _contained(caller, given, *IDENTITY)


@_rule("builtins.frozenset")
def _frozenset(caller: Caller, given: Given) -> Value:
    return _fixed(caller, given, *IDENTITY)


@_rule("builtins.sum")
def _sum(caller: Caller, given: Given) -> Value:
    return _fixed(caller, given, "__add__", "__radd__")


@_rule("builtins.tuple")
def _tuple(caller: Caller, given: Given) -> Value:
    return _fixed(caller, given)


def _fixed(caller: Caller, given: Given, *compared: str) -> Value:
    result = _contained(caller, given, *compared)
    for place in result:
        if type(place) is Site:
            place.mutable = False
    return result


def _holding(caller: Caller, contents: Value, kind: str = "container") -> Value:
    site = caller.new_site(kind)  # not that of what the call itself had made: `defaultdict(list)`
    site.mutable = True
    caller.ledger.put(site, contents)
    return single(site)


@_rule("builtins.zip")
def _zip(caller: Caller, given: Given) -> Value:
    if given.spread:
        return _tuples(caller, given)
    return pairs(caller, [caller.ledger.inside(caller.loop_over(value)) for value in given.positional])


@_rule("itertools.product itertools.combinations itertools.permutations itertools.zip_longest")
def _tuples(caller: Caller, given: Given) -> Value:
    """Of whose tuples it is not told at which position they have what."""
    fill = given.keywords.get("fillvalue", EMPTY)
    return _holding(caller, _holding(caller, _elements(caller, given) | fill, "tuple"))


@_rule("builtins.enumerate")
def _enumerate(caller: Caller, given: Given) -> Value:
    if given.spread or not given.positional:
        return _container(caller, given)
    return pairs(caller, [EMPTY, caller.ledger.inside(caller.loop_over(given.positional[0]))])


def pairs(caller: Caller, fields: list[Value], one: bool = False) -> Value:
    """Return something that gives tuples of these fields, or `one` such tuple."""
    pair = caller.new_site("pair")
    caller.ledger.put(pair, union(fields))
    pair.fields = fields if pair.fields is None else [a | b for a, b in zip(pair.fields, fields, strict=False)]
    return single(pair) if one else _holding(caller, single(pair))


@_rule("itertools.groupby")
def _groups(caller: Caller, given: Given) -> Value:
    function = given.positional[1] if given.positional[1:] else given.keywords.get("key", EMPTY)
    elements = _elements(caller, Given(given.positional[:1], spread=given.spread))
    keys = caller.call(function, Given([elements])) if function else elements
    _compare(caller, keys, ("__eq__",))
    return pairs(caller, [keys, _holding(caller, elements, "group")])


@_rule("""
    builtins.map builtins.filter functools.reduce _functools.reduce itertools.starmap itertools.accumulate
    itertools.takewhile itertools.dropwhile itertools.filterfalse
""")
def _applied(caller: Caller, given: Given) -> Value:
    if not given.positional:
        return caller.doubtful(given)
    elements = union([caller.ledger.inside(caller.iterate(value)) for value in given.positional])
    elements |= union(given.positional[2:])  # what `reduce` begins with
    result = elements
    _compare(caller, elements, () if given.first() and union(given.positional[1:2]) else (*TRUTH_OF, "__add__"))
    for function in (given.positional[0], *given.positional[1:], *given.keywords.values()):
        if function is given.positional[0] or any(looks_callable(place) for place in function):
            result |= caller.call(function, Given([], {}, elements)) if function else EMPTY
    return _holding(caller, result, "applied") | result


@_rule("builtins.dict.fromkeys collections.OrderedDict.fromkeys")
def _from_keys(caller: Caller, given: Given) -> Value:
    keys = _elements(caller, Given(given.positional[:1], spread=given.spread))
    _compare(caller, keys, IDENTITY)
    return _holding(caller, keys | union(given.positional[1:]), "dict")


@_rule("builtins.dict collections.OrderedDict collections.Counter")
def _dict(caller: Caller, given: Given) -> Value:
    return _mapping(caller, given, "dict")


def _mapping(caller: Caller, given: Given, kind: str) -> Value:
    caller.callbacks(given)
    sources = union((*given.positional, given.spread or EMPTY))
    once = caller.ledger.inside(caller.iterate(sources))
    result = _holding(caller, once | caller.ledger.inside(once) | union(given.keywords.values()), kind)
    add_items(caller.ledger, result, given)
    return result


@_rule("collections.defaultdict")
def _defaultdict(caller: Caller, given: Given) -> Value:
    made = caller.call(given.first(), Given([])) if given.first() else EMPTY
    result = _mapping(caller, given._replace(positional=given.positional[1:]), "defaultdict")
    caller.put_into(result, made)
    return result


def _objects(value: Value) -> Value:
    """Return those places that hold instances of the user's classes."""
    return frozenset([x for x in value if type(x) is Outside and any(map(_is_plain, x.examples or ()))])


def _is_plain(thing: object) -> bool:
    return species(type(thing))[0] is Species.PLAIN


@_rule("copy.copy")
def _copy(caller: Caller, given: Given) -> Value:
    site = caller.new_site("copy")
    site.opaque = True  # of an object: its attributes are shared
    caller.ledger.put(site, caller.ledger.inside(given.all()) | caller.ledger.inside(_objects(given.first()), ".*"))
    for cls in caller.classes_of(_objects(given.first())):
        site.cls = cls
    for name in ("__copy__", *_STATE):
        caller.operate(given.first(), name, NO_ARGUMENTS)
    _restore(caller, given.first())
    return single(site)


#: What is called of an object to copy or to pickle it.
_STATE: Final = ("__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs_ex__", "__getnewargs__")


def _restore(caller: Caller, value: Value) -> None:
    """Objects are made anew with the state of others."""
    for cls in caller.classes_of(value):
        site = caller.new_site(("restored", cls))
        site.cls = cls
        caller.own_special(site, "__setstate__", Given([EMPTY]))


@_rule("dataclasses.replace")
def _replace(caller: Caller, given: Given) -> Value:
    site = caller.new_site("replaced")
    site.opaque = True
    caller.ledger.put(
        site, caller.ledger.inside(given.first()) | union(given.keywords.values()) | (given.spread or EMPTY)
    )
    for cls in caller.classes_of(given.first()):
        site.cls = cls
        caller.own_special(site, "__post_init__", Given([]))
    return single(site)


@_rule("copy.deepcopy dataclasses.asdict dataclasses.astuple")
def _deepcopy(caller: Caller, given: Given) -> Value:
    caller.callbacks(given, objects=False)
    caller.ask(given.first(), ("__deepcopy__", *_STATE), Given([EMPTY]), deep=True)
    _restore(caller, given.first())
    return single(caller.new_site("copy"))


@_rule("builtins.min builtins.max")
def _chosen(caller: Caller, given: Given) -> Value:
    found = caller.ledger.reach(caller.iterate(union((*given.positional, given.spread or EMPTY))))
    _put_in_order(caller, found, given)
    return found | given.keywords.get("default", EMPTY)


@_rule("operator.getitem _operator.getitem")
def _getitem(caller: Caller, given: Given) -> Value:
    key = union(given.positional[1:])
    caller.ask(key, ("__index__", *IDENTITY))
    return caller.item(given.first(), key)


@_rule("builtins.next builtins.anext")
def _next(caller: Caller, given: Given) -> Value:
    first = given.first()
    caller.ledger.change(first, "takes from")
    for place in first:
        if isinstance(place, (Outside, Site)):
            caller.own_special(place, "__next__", Given([]))
    return caller.ledger.inside(first) | union(given.positional[1:])


@_rule("builtins.getattr builtins.object.__getattribute__")
def _getattr(caller: Caller, given: Given) -> Value:
    if len(given.positional) < 2 or given.spread:
        return caller.doubtful(given)
    owner, key = given.positional[:2]
    names = [place.value for place in key if type(place) is Const]
    found = union([caller.attribute(owner, name) for name in names if type(name) is str])
    return (found if names else caller.attribute(owner, _beginning(key) + "*")) | union(given.positional[2:])


def _beginning(text: Value) -> str:
    """Return what a text begins with, as far as that is known."""
    beginnings = {place.prefix if type(place) is Site else "" for place in text}
    return beginnings.pop() if len(beginnings) == 1 else ""


@_rule("builtins.setattr")
def _setattr(caller: Caller, given: Given) -> Value:
    caller.operate(frozenset(filter(_is_made, given.first())), "__setattr__", Given([EMPTY, EMPTY]))
    return _set_attribute(caller, given, caller.set_attribute)


def _is_made(place: Place) -> bool:
    return type(place) is Site


@_rule("builtins.delattr")
def _delattr(caller: Caller, given: Given) -> Value:
    for place in union(given.positional[1:2]):
        caller.delete_attribute(given.first(), place.value if type(place) is Const and type(place.value) is str else "")
    return _set_bare(caller, given)


@_rule("builtins.object.__setattr__ builtins.object.__delattr__")
def _set_bare(caller: Caller, given: Given) -> Value:
    return _set_attribute(caller, given, caller.ledger.put_attribute)


def _set_attribute(caller: Caller, given: Given, put: Callable[[Site, str, Value], None]) -> Value:
    owner = given.first()
    caller.ledger.change(owner, "sets an attribute of", EffectKind.WRITES_ATTRIBUTE)
    names = [place.value for place in union(given.positional[1:2]) if type(place) is Const]
    for place in owner:
        if type(place) is not Site:
            continue
        if len(given.positional) == 3 and len(names) == 1 and type(names[0]) is str:
            put(place, names[0], given.positional[2])
        else:
            place.opaque = True
            caller.ledger.put(place, union(given.positional[2:]))
    return EMPTY


@_rule("builtins.vars")
def _vars(caller: Caller, given: Given) -> Value:
    return caller.attribute(given.all(), "__dict__")


@_rule("importlib.import_module")
def _import_module(caller: Caller, given: Given) -> Value:
    names = [place.value for place in given.first() if type(place) is Const]
    if len(names) == 1 and len(given.positional) == 1 and type(names[0]) is str:
        return caller.ledger.imported(names[0])
    return caller.ledger.keeper(Origin.IMPORTED, "that import_module() gives", MISSING)


@_rule("decimal.getcontext _decimal.getcontext")
def _decimal_context(caller: Caller, given: Given) -> Value:
    thing = attribute(loaded("decimal"), "DefaultContext")  # one like it
    return caller.ledger.keeper(Origin.GLOBAL, "decimal.getcontext()", thing)


@_rule("logging.getLogger")
def _logger(caller: Caller, given: Given) -> Value:
    return caller.ledger.keeper(Origin.GLOBAL, "logging.getLogger()", attribute(loaded("logging"), "root"))


@_rule("builtins.globals")
def _globals(caller: Caller, given: Given) -> Value:
    if dict.get(caller.module_in_force(), "__name__") == "__main__":
        caller.ledger.record(EffectKind.CAPTURES_RESOURCE, f"calls globals(), {OF_MAIN}", atomic=True)
    return caller.ledger.namespace(caller.module_in_force())


@_rule("builtins.super")
def _super(caller: Caller, given: Given) -> Value:
    return caller.super_of(given)


@_rule("builtins.__build_class__")
def _class_statement(caller: Caller, given: Given) -> Value:
    return caller.build_class(given)


@_rule("builtins.type")
def _type(caller: Caller, given: Given) -> Value:
    if len(given.positional) != 1:
        return caller.make_class(given, union(given.positional[1:2]), given.keywords)
    classes = caller.classes_of(given.positional[0])
    return union([caller.ledger.keeper(Origin.GLOBAL, cls.__name__, cls) for cls in classes])


@_rule("""
    unittest.mock.patch unittest.mock._patch_object unittest.mock._patch_multiple unittest.mock._patch_dict
""")
def _patch(caller: Caller, given: Given) -> Value:
    """What is patched is not as it was for whoever runs meanwhile."""
    target = given.first()
    caller.ledger.change(target, "patches")
    if all(type(place) is Const for place in target):
        caller.ledger.record(EffectKind.WRITES_GLOBAL, "patches what it names by a text")
    return caller.doubtful(given)


@_rule("sys.exc_info sys.exception")
def _thrown(caller: Caller, given: Given) -> Value:
    thrown = caller.ledger.thrown()
    return thrown | _holding(caller, thrown, "thrown")


@_rule("types.new_class")
def _new_class(caller: Caller, given: Given) -> Value:
    _, bases, keywords, *_ = [*given.positional, EMPTY, EMPTY, EMPTY]
    keywords |= given.keywords.get("kwds", EMPTY)
    caller.callbacks(given, objects=False)
    meta = {"metaclass": caller.ledger.inside(keywords)}
    return caller.make_class(given, bases | given.keywords.get("bases", EMPTY), meta)


@_rule("dataclasses.make_dataclass")
def _make_dataclass(caller: Caller, given: Given) -> Value:
    return caller.make_class(given, given.keywords.get("bases", EMPTY), {})
