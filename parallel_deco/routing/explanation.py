"""What `explain()` gives: the route, the readings behind it, what the others would have cost, and a report of it."""

from dataclasses import dataclass, field
from html import escape
from typing import Any

from parallel_deco._texts import bytes_text, counted, seconds_text
from parallel_deco._traits import Route

__all__ = ["Explanation", "PerItem"]


@dataclass(frozen=True, slots=True)
class PerItem:
    """What was measured of one item; times in seconds, sizes in bytes.

    Parameters
    ----------
    wall : float
        Elapsed time when it runs alone.
    cpu : float
        CPU time of its thread.
    gil : float or None
        Time in which it held the GIL; None when too little was seen.
    payload : int
        Bytes of arguments and result that another process would get and give; 0 when nothing was moved or looked at.
    items : int
        How many items were seen, over the life of the function.
    samples : int
        How often the sampler looked whether the GIL was held.
    """

    wall: float
    cpu: float
    gil: float | None
    payload: int
    items: int
    samples: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a function runs where it runs; `str()` of it is a report.

    Parameters
    ----------
    function : str
        Its name.
    route : {"serial", "threads", "processes"}
        Where its last work went, or its next would go if nothing ran yet.
    width : int
        How many workers at most.
    rule : str
        The rule that fired, in a word or two.
    reason : str
        One sentence.
    readings : PerItem
        What was measured.
    predicted : dict of str to float
        Seconds that each open route was predicted to take for the work that was left at the last decision.
    notes : tuple of str
        What keeps the work from other routes, and what the user can do.
    abreast : int
        How many items each worker runs at the same time.
    """

    function: str
    route: Route
    width: int
    rule: str
    reason: str
    readings: PerItem
    predicted: dict[Route, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    abreast: int = 1

    def __str__(self) -> str:
        """Return the report."""
        lines = [self._title(), f"  why        {self.reason}"]
        lines.append(f"  measured   {self._measured()}")
        if self.predicted:
            lines.append(f"  predicted  {self._predicted()}")
        lines += [f"  note       {note}" for note in self.notes]
        return "\n".join(lines)

    def _title(self) -> str:
        workers = f", {self.width} wide" if self.route != "serial" else ""
        workers += f" with {self.abreast} threads each" if self.abreast > 1 else ""
        return f"{self.function} → {self.route}{workers}"

    def _measured(self) -> str:
        seen = self.readings
        if not seen.items:
            return "nothing yet"
        gil = "not seen" if seen.gil is None else seconds_text(seen.gil)
        looks = f" ({counted(seen.samples, 'look')})" if seen.samples else ""
        parts = [f"{seconds_text(seen.wall)} an item: CPU {seconds_text(seen.cpu)}, GIL held {gil}{looks}"]
        if seen.payload:
            parts.append(f"{bytes_text(seen.payload)} to move")
        return ", ".join(parts) + f"; {counted(seen.items, 'item')} seen"

    def _predicted(self) -> str:
        ranked = sorted(self.predicted.items(), key=lambda entry: entry[1])
        return ", ".join(f"{route} {seconds_text(seconds)}" for route, seconds in ranked) + " for what was left"

    def _repr_html_(self) -> str:
        """Return the report as a table, for notebooks."""
        ranked = sorted(self.predicted.items(), key=lambda entry: entry[1])
        rows = [("why", self.reason), ("measured", self._measured())]
        rows += [("predicted", f"{route}: {seconds_text(seconds)} for what was left") for route, seconds in ranked]
        rows += [("note", note) for note in self.notes]
        body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows)
        return f"<table><caption><b>{escape(self._title())}</b></caption><tbody>{body}</tbody></table>"

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain dicts, lists, strings and numbers, ready for JSON."""
        readings = {name: getattr(self.readings, name) for name in PerItem.__slots__}
        own = {name: getattr(self, name) for name in Explanation.__slots__}
        return {**own, "readings": readings, "predicted": dict(self.predicted), "notes": list(self.notes)}


for _public in (Explanation, PerItem):
    _public.__module__ = "parallel_deco"
