"""Knows when NumPy makes an array of what it is given, and when it takes the array that it is given."""

from __future__ import annotations

from functools import partial
from typing import Final

from parallel_deco.routing.ledger import Ledger
from parallel_deco.routing.lookup import is_a, mro, type_name
from parallel_deco.routing.rules import Caller, Rule, single, union
from parallel_deco.routing.values import (
    EMPTY,
    TRUTH,
    Const,
    Examples,
    Given,
    Outside,
    Place,
    Site,
    Value,
    is_scalar,
)

__all__ = ["ARRAY_RULES", "are_arrays", "is_copied"]

_NESTED: Final = frozenset(map(id, (list, tuple)))
_NUMBERS: Final = frozenset(map(id, (int, float, complex, bool, type(None))))
_RECORDS: Final = frozenset(map(id, (list, tuple, dict)))
_COPIED: Final = frozenset(
    (
        *("numpy.ndarray", "pandas.DataFrame", "pandas.Series"),
        *("pandas.core.frame.DataFrame", "pandas.core.series.Series"),
    )
)
_DEPTH_MAX: Final = 4  # of nested lists


def are_arrays(examples: Examples) -> bool:
    """Say whether all examples are arrays of NumPy itself."""
    return examples is not None and all(type_name(type(thing)) == "numpy.ndarray" for thing in examples)


def is_copied(examples: Examples) -> bool:
    """Say whether all examples are arrays or tables, of which a mask or a list of positions makes a copy."""
    return examples is not None and all(type_name(type(thing)) in _COPIED for thing in examples)


def _array(caller: Caller, given: Given) -> Value:
    return _maybe_copied(caller, given, given.keywords.get("copy"))


def _nan_to_num(caller: Caller, given: Given) -> Value:
    return _maybe_copied(
        caller, given, given.keywords.get("copy", given.positional[1] if given.positional[1:] else None)
    )


def _maybe_copied(caller: Caller, given: Given, copies: Value | None) -> Value:
    if given.unnamed:
        return caller.doubtful(given)
    if copies is None or any(type(place) is Const and place.value is True for place in copies):
        return single(_made(caller, given.first(), _dtype(given)))
    caller.ledger.change(given.first(), "with copy=False, may change")
    return caller.doubtful(given)


def _as_array(caller: Caller, given: Given) -> Value:
    """An array is taken as it is, or a view of it; of lists and numbers, one is made."""
    first = given.first() if given.positional else union(given.keywords.values())
    return _taken(caller, first, _dtype(given), views=False)


def _as_array_only(caller: Caller, given: Given) -> Value:
    """The same, of functions whose second argument is no dtype."""
    return _taken(caller, given.first() if given.positional else union(given.keywords.values()), None)


def _all_as_arrays(caller: Caller, given: Given) -> Value:
    return _taken(caller, given.all(), None)


def _taken(caller: Caller, value: Value, dtype: Value | None, views: bool = True) -> Value:
    ledger = caller.ledger
    result: Value = single(_made(caller, value, dtype))
    for place in value:
        if type(place) is not Outside:
            result |= EMPTY if type(place) is Const else single(place)
            continue
        examples = ledger.ask(place)
        if examples is None or not all(id(type(thing)) in _NESTED or _is_number(thing) for thing in examples):
            result |= single(place) | (ledger.child(place, ".reshape()") if views and are_arrays(examples) else EMPTY)
    return result


def _made(caller: Caller, value: Value, dtype: Value | None) -> Site:
    """Return the site of an array that holds the objects in `value`, if it holds any."""
    site = plain_site(caller.new_site("array"), caller.ledger, dtype is not None and _is_plain(caller.ledger, dtype))
    if not site.plain:
        found = _objects(caller.ledger, value, known=dtype is None)
        caller.ledger.put(site, found | single(site) if found else EMPTY)  # a row of it is an array of the same
    return site


def plain_site(site: Site, ledger: Ledger, plain: bool) -> Site:
    """Note whether the arrays of a site hold no objects; if some do, all that was stored must be stored again."""
    if site.plain and not plain:
        ledger.version += 1
    site.plain = plain and (site.plain or not (site.read or site.contents or site.attributes))
    return site


def _filled(caller: Caller, given: Given, default: bool = True) -> Value:
    """``np.zeros(n)``, ``np.arange(n)``: numbers, unless the dtype says otherwise."""
    dtype = given.keywords.get("dtype", given.positional[1] if given.positional[1:] else None)
    plain = not given.spread and (default if dtype is None else _is_plain(caller.ledger, dtype))
    return single(plain_site(caller.new_site("filled"), caller.ledger, plain))


def _filled_like(caller: Caller, given: Given) -> Value:
    """``np.zeros_like(x)``: of the dtype of `x`, unless another is given."""
    places = given.first()
    return _filled(caller, given, bool(places) and all(_holds_numbers(caller.ledger, place) for place in places))


def _holds_numbers(ledger: Ledger, place: Place) -> bool:
    """Say whether a place holds arrays of numbers: their copies hold nothing that is theirs."""
    if type(place) is not Outside or not are_arrays(ledger.ask(place)):
        return False
    return all(type(inner) is Outside and is_scalar(ledger.ask(inner)) for inner in ledger.child(place, "[*]"))


def _objects(ledger: Ledger, value: Value, known: bool) -> Value:
    """Return what an array of `value` may hold: what is in its lists, and in theirs if these are no items but rows."""
    found = ledger.inside(value, "[*]")
    for _ in range(_DEPTH_MAX if known else 0):  # an array of objects may hold lists, if it is asked to
        rows = [place for place in found if _is_row(ledger, place)]
        if not rows:
            break
        found = found.difference(rows) | ledger.inside(frozenset(rows), "[*]")
    return found


def _is_row(ledger: Ledger, place: Place, kinds: frozenset[int] = _NESTED) -> bool:
    examples = ledger.ask(place) if type(place) is Outside else None
    return examples is not None and all(
        id(type(thing)) in kinds or type_name(type(thing)) == "numpy.ndarray" for thing in examples
    )


def _dtype(given: Given) -> Value | None:
    return given.keywords.get("dtype", given.positional[1] if given.positional[1:] else given.spread)


def _is_plain(ledger: Ledger, dtype: Value) -> bool:
    """Say whether an array of this type holds no objects."""
    return bool(dtype) and all(_names_numbers(ledger, place) for place in dtype)


def _names_numbers(ledger: Ledger, place: Place) -> bool:
    if type(place) is Const:
        return type(place.value) is str and "O" not in place.value and "o" not in place.value
    examples = ledger.ask(place) if type(place) is Outside else None
    return examples is not None and all(map(_is_number_type, examples))


def _is_number_type(thing: object) -> bool:
    if not is_a(thing, type):  # a dtype: which one, its type does not tell
        return False
    names = [type_name(base) for base in mro(thing)]
    return id(thing) in _NUMBERS or "numpy.number" in names or names[0] in ("numpy.bool", "numpy.bool_")


def _is_number(thing: object) -> bool:
    return id(type(thing)) in _NUMBERS or "numpy.number" in map(type_name, mro(type(thing)))


def _positions(caller: Caller, given: Given) -> Value:
    """``np.argsort(x)``: an array of numbers of its own."""
    caller.outputs(given)
    return single(plain_site(caller.new_site("positions"), caller.ledger, True))


def _truths(caller: Caller, given: Given, *, inputs: int) -> Value:
    """``np.isnan(x)``: truth values, as a comparison gives them."""
    caller.outputs(given)
    caller.ledger.change(union(given.positional[inputs:]) | (given.spread or EMPTY), "writes into")
    return TRUTH if len(given.positional) == inputs and not given.keywords else caller.doubtful(given)


def _einsum(caller: Caller, given: Given) -> Value:
    """Of one array, it may give a view; of several, it computes."""
    caller.outputs(given)
    constants = [place for place in given.first() if type(place) is Const and type(place.value) is str]
    if len(constants) != 1 or len(given.positional) < 3 or given.spread is not None or "out" in given.keywords:
        return caller.doubtful(given)
    return single(caller.new_site("sums"))


def _table(caller: Caller, given: Given) -> Value:
    """``pd.DataFrame(rows)``: of lists and dicts, a table is made, with what is in them; an array it may share."""
    data = given.positional[0] if given.positional else given.keywords.get("data", given.spread or EMPTY)
    known = [caller.ledger.ask(place) if type(place) is Outside else None for place in data]
    if given.spread or not data or not all(x and all(id(type(thing)) in _RECORDS for thing in x) for x in known):
        return caller.doubtful(given)
    site = caller.new_site("table")
    columns = caller.ledger.inside(data)
    records = [place for place in columns if _is_row(caller.ledger, place, _RECORDS)]
    found = columns.difference(records) | caller.ledger.inside(frozenset(records), "[*]")
    caller.ledger.put(site, found | single(site))  # a column of it is of the same
    return single(site)


ARRAY_RULES: Final[dict[str, Rule]] = {
    "pandas.DataFrame": _table,
    "pandas.core.frame.DataFrame": _table,
    "numpy.array": _array,
    "numpy.nan_to_num": _nan_to_num,
    **dict.fromkeys(
        ("numpy.asarray", "numpy.asanyarray", "numpy.ascontiguousarray", "numpy.asfortranarray"),
        _as_array,
    ),
    **dict.fromkeys(("numpy.zeros", "numpy.ones", "numpy.empty"), _filled),
    **dict.fromkeys(("numpy.zeros_like", "numpy.ones_like", "numpy.empty_like"), _filled_like),
    **dict.fromkeys(("numpy.argsort", "numpy.flatnonzero", "numpy.argwhere", "numpy.lexsort"), _positions),
    **dict.fromkeys(("numpy.isnan", "numpy.isinf", "numpy.isfinite"), partial(_truths, inputs=1)),
    **dict.fromkeys(("numpy.isin", "numpy.isclose", "numpy.logical_and"), partial(_truths, inputs=2)),
    "numpy.einsum": _einsum,
    **dict.fromkeys(("numpy.atleast_1d", "numpy.atleast_2d", "numpy.atleast_3d"), _all_as_arrays),
    **dict.fromkeys(
        ("numpy.ravel", "numpy.reshape", "numpy.squeeze", "numpy.transpose", "numpy.expand_dims", "numpy.real"),
        _as_array_only,
    ),
}
