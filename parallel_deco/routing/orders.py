"""Follows, through dicts that are given as keywords, what orders a library to write: ``inplace``, ``out``."""

from __future__ import annotations

from collections.abc import Iterator

from parallel_deco.routing.known import ORDERS, is_order
from parallel_deco.routing.ledger import Ledger
from parallel_deco.routing.lookup import MISSING, is_a
from parallel_deco.routing.values import EMPTY, Given, Origin, Outside, Place, Site, Value, are_dicts

__all__ = ["add_items", "keep_item", "know_names", "names_are_seen", "orders_in", "take_items"]


def know_names(value: Value, seen: bool) -> None:
    """Note of dicts made during the call whether the names of some items are seen."""
    for place in value:
        if type(place) is Site:
            place.named = seen and place.named is not False


def names_are_seen(value: Value) -> bool:
    """Say whether all names are seen under which dicts have their items."""
    return all(map(_are_seen, value))


def _are_seen(place: Place) -> bool:
    if type(place) is Outside:  # another argument of the same type may have others
        return place.origin is not Origin.ARGUMENT and are_dicts(place.examples)
    return type(place) is Site and place.named is True


def orders_in(ledger: Ledger, place: Place) -> dict[str, Value]:
    """Return the items of a dict under names that are orders."""
    if type(place) is Site:
        return place.orders or {}
    if type(place) is not Outside:
        return {}
    found: dict[str, Value] = {}
    for thing in place.examples or ():
        for name, item in _orders_of(thing):
            found[name] = ledger.constant(item) if type(item) is bool else ledger.child(place, "[]")
    return found


def _orders_of(thing: object) -> Iterator[tuple[str, object]]:
    if is_a(thing, dict) and are_dicts((thing,)):
        for name in ORDERS:
            item = dict.get(thing, name, MISSING)
            if item is not MISSING:
                yield name, item


def keep_item(value: Value, name: object, item: Value) -> None:
    """Dicts get an item, under a name that may not be seen."""
    for place in value:
        if type(place) is Site and is_order(name):
            place.orders = place.orders or {}
            place.orders[str(name)] = place.orders.get(str(name), EMPTY) | item
    if type(name) is not str:
        know_names(value, False)


def take_items(ledger: Ledger, value: Value, source: Value) -> None:
    """Dicts get the items of others."""
    know_names(value, names_are_seen(source))
    for place in source:
        for name, item in orders_in(ledger, place).items():
            keep_item(value, name, item)


def add_items(ledger: Ledger, value: Value, given: Given) -> None:
    """Dicts get the items of others, and what is given by keywords, as ``dict()`` does."""
    know_names(value, not given.unnamed)
    for source in given.positional:
        take_items(ledger, value, source)
    for name, item in given.keywords.items():
        keep_item(value, name, item)
