"""Reads a function's code without running it: what it will spend its time on, and what it would change outside.

Nothing of the user's is called, imported or changed, and nothing is raised whatever is given. Both answers come
from the bytecode alone, so lambdas, notebooks and ``python -c`` are read like modules.

The prior is a guess with an honest probability, for before anything was measured. The effects are on the side of
safety: what cannot be told counts as an effect, because a function that is wrongly kept on shared memory is slow,
and one that is wrongly sent away loses the user's data. What is taken on trust all the same is written in the
notes of `read`.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeGuard

from parallel_deco._interrupts import interrupts
from parallel_deco.routing.effects import Findings, Subject, find_effects, subject_of
from parallel_deco.routing.known import is_used_up
from parallel_deco.routing.ledger import Effect, EffectKind
from parallel_deco.routing.lookup import is_a
from parallel_deco.routing.prior import Nature, Prior, guess
from parallel_deco.routing.values import Examples

__all__ = ["Effect", "EffectKind", "Nature", "Prior", "Reading", "read"]

_ANSWERS_MAX: Final = 16
_WORDS: Final = "uses up a stream, an iterator or a random generator that is an argument"
_USED_UP: Final = Effect(_WORDS, "", 0, EffectKind.MUTATES_ARGUMENT)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the code of a function says.

    Attributes
    ----------
    prior : Prior
    effects : tuple of Effect
        What a call may change outside of itself, whatever it is called with: in doubt, an effect is listed.
        Not empty means: must share memory, unless `pin` says for the actual arguments that it need not.
    depends : bool
        Whether the types of the arguments matter; if not, `pin` gives the same answer for all.
    hands_over : bool
        Whether they do as far as that streams and iterators are used up.
    """

    prior: Prior
    effects: tuple[Effect, ...]
    depends: bool = False
    hands_over: bool = False
    _subject: weakref.ReferenceType[Callable[..., object]] | Subject | None = field(
        default=None, repr=False, compare=False
    )
    _answers: list[Findings] = field(default_factory=list, repr=False, compare=False)

    def pin(self, args: tuple[object, ...] = (), kwargs: Mapping[str, object] | None = None) -> Effect | None:
        """Return what pins a call with these arguments to shared memory, or None.

        Of several effects, the gravest: one that threads may not make at the same time (not `Effect.atomic`).

        Parameters
        ----------
        args, kwargs : tuple, mapping
            The arguments of the call. They are looked at, never called, and not kept.

        Notes
        -----
        Half a microsecond where the arguments do not matter; a few where they do and are of types seen before;
        as much as reading the function where their types are new. Ask for every item while `depends` is true:
        ``x += 1`` is harmless for a number and a change of the caller's object for an array.
        """
        if self._subject is None or not self.depends:
            if self.effects or not self.hands_over:
                return self.effects[0] if self.effects else None
            used_up = any(is_used_up(type(thing)) for thing in (*args, *(kwargs or {}).values()))
            return _USED_UP if used_up else None
        if self.effects and self.effects[0].unless_immutable is None and not self.effects[0].atomic:
            return self.effects[0]
        try:
            return self._pin(args, kwargs or {})
        except Exception as error:  # whatever the arguments do to the reader: in doubt, shared memory
            if interrupts(error):
                raise
            return Effect("cannot be read with these arguments", "", 0, EffectKind.UNKNOWN)

    def _pin(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Effect | None:
        subject = self._subject
        if is_a(subject, weakref.ReferenceType):
            function = subject()
            if function is None:
                return self.effects[0] if self.effects else None
            subject = Subject(function, (), {})
        assert isinstance(subject, Subject)
        given = subject.bind(args, kwargs)
        followed: dict[tuple[object, ...], Examples] = {}
        for findings in self._answers:
            if all(guard.holds(given, followed) for guard in findings.guards):
                return findings.effects[0] if findings.effects else None
        findings = find_effects(subject, given)
        if len(self._answers) >= _ANSWERS_MAX:
            self._answers.clear()
        self._answers.append(findings)
        return findings.effects[0] if findings.effects else None


# Held weakly: an entry goes with its function. A reading is used again as long as the function has the same code
# and every global, closure variable and member of a class that it relied on holds an object of the same type (a
# function, class or module: the same object), as does each part of them that was looked into. Not checked again:
# attributes of modules of libraries, the middle of long containers, and what was reached in another way. That of a
# compiled function stands as long as the function does.
_readings: weakref.WeakKeyDictionary[Callable[..., object], tuple[types.CodeType | None, Findings, Reading]]
_readings = weakref.WeakKeyDictionary()


def read(function: object) -> Reading:
    """Read the code of a callable.

    Parameters
    ----------
    function : object
        Any callable, or any object at all. Decorated by this package, partial, bound: looked through.

    Returns
    -------
    Reading

    Notes
    -----
    Taken on trust, because suspicion would pin nearly everything: attribute access, operators and printing of
    arguments change nothing (properties and ``__getitem__`` are followed where the class is known; of other objects
    all special methods are); functions of known libraries do what the tables in `known` say; compiled functions that
    are not known do not change the arguments that the caller gave; an element of a container that is too long to look
    through, and the result of a call that cannot be followed, have no method that changes them but those of
    well-known names; a global dict of keyword arguments is not given other names later.
    Who asks for the number of its process or thread wants to know where it runs, and may run anywhere.
    """
    try:
        return _read(function)
    except Exception as error:  # an object that resists reading must share memory
        if interrupts(error):
            raise
        doubt = Effect("cannot be read", "", 0, EffectKind.UNKNOWN)
        return Reading(Prior(Nature.UNKNOWN, 0.0, "cannot be read"), (doubt,))


def _read(function: object) -> Reading:
    if (known := _read_before(function)) is not None:
        return known
    subject = subject_of(function)
    plain = subject.function
    if subject.arguments or subject.keywords or not (is_a(plain, types.FunctionType) or _is_compiled(plain)):
        findings = find_effects(subject)
        return Reading(guess(plain), findings.effects, findings.depends, findings.hands_over, subject)
    if (known := _read_before(plain)) is not None:
        return known
    findings = find_effects(subject)
    reading = Reading(guess(plain), findings.effects, findings.depends, findings.hands_over, weakref.ref(plain))
    _readings[plain] = (_code(plain), findings, reading)
    return reading


def _is_compiled(function: object) -> TypeGuard[types.BuiltinFunctionType]:
    """Whether it is a function of a compiled module, and no method of an object, which may be another in a moment."""
    if type(function) is types.BuiltinFunctionType:
        return type(function.__self__) in (types.ModuleType, types.NoneType)
    return type(function).__name__ == "cython_function_or_method"


def _code(function: Callable[..., object]) -> types.CodeType | None:
    return function.__code__ if type(function) is types.FunctionType else None


def _read_before(function: object) -> Reading | None:
    """Return the reading of a plain function that was read before, if nothing that it relied on has changed."""
    if not (type(function) is types.FunctionType or _is_compiled(function)):
        return None
    cached = _readings.get(function)
    if cached is None or cached[0] is not _code(function) or not cached[1].stands(function):
        return None
    answers = cached[2]._answers
    answers[:] = [findings for findings in answers if findings.stands(function)]
    return cached[2]
