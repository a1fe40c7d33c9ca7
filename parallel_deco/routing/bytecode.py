"""Decodes the bytecode of CPython 3.11 to 3.14 into steps, jump targets and exception handlers.

Works on the code object alone, so it needs no source and knows lambdas, notebooks and ``python -c``. The
standard library's `dis` would do the same, but its `Instruction` objects cost ten times as much (3 ms to
import, about 5 µs an instruction).
"""

from __future__ import annotations

import opcode
import sys
import types
from typing import Final, NamedTuple

__all__ = ["VERSION", "Handler", "Program", "decode", "line_at"]

VERSION: Final = sys.version_info[:2]

_CACHE: Final = opcode.opmap.get("CACHE", 0)
_EXTENDED: Final = opcode.EXTENDED_ARG
_NAMES: Final = tuple(opcode.opname)
_RELATIVE: Final = frozenset(opcode.hasjrel)
_BACKWARD: Final = frozenset(number for number in _RELATIVE if "BACKWARD" in _NAMES[number])


class Handler(NamedTuple):
    """Where an exception goes, and what is left of the stack when it arrives."""

    target: int
    depth: int
    pushes_offset: bool


class Program(NamedTuple):
    """A decoded code object; every position is an index into `names`."""

    code: types.CodeType
    names: tuple[str, ...]
    arguments: tuple[int, ...]  # of a jump: the index of its target
    offsets: tuple[int, ...]
    targets: frozenset[int]
    handlers: tuple[Handler | None, ...]


# Keyed by identity, because the hash of a code object walks all of it. The entry keeps its code alive, so an
# identity cannot be used twice; cleared when full, which bounds what is kept. Racing threads at worst decode twice.
_decoded: dict[int, Program] = {}
_DECODED_MAX: Final = 512


def decode(code: types.CodeType) -> Program:
    """Return the decoded `code`, from the cache if it was seen before."""
    program = _decoded.get(id(code))
    if program is None or program.code is not code:
        if len(_decoded) >= _DECODED_MAX:
            _decoded.clear()
        program = _decoded[id(code)] = _decode(code)
    return program


def _decode(code: types.CodeType) -> Program:
    raw = code.co_code
    numbers: list[int] = []
    arguments: list[int] = []
    offsets: list[int] = []
    index_at: dict[int, int] = {}
    jumps: list[tuple[int, int]] = []
    extended, position, size = 0, 0, len(raw)
    start = 0
    while position < size:
        number = raw[position]
        argument = raw[position + 1] | extended
        position += 2
        if number == _EXTENDED:
            extended = argument << 8
            continue
        extended = 0
        while position < size and raw[position] == _CACHE:
            position += 2
        # A jump to an instruction may land on its EXTENDED_ARG prefix.
        for offset in range(start, position, 2):
            index_at[offset] = len(numbers)
        if number in _RELATIVE:
            jumps.append((len(numbers), position + 2 * (-argument if number in _BACKWARD else argument)))
        offsets.append(start)
        numbers.append(number)
        arguments.append(argument)
        start = position
    targets = {0}
    for index, offset in jumps:
        arguments[index] = index_at[offset]
        targets.add(arguments[index])
    handlers: tuple[Handler | None, ...] = ()
    if code.co_exceptiontable:
        handlers = _handlers(code.co_exceptiontable, index_at, len(numbers))
        targets.update(handler.target for handler in handlers if handler is not None)
    names = tuple([_NAMES[number] for number in numbers])
    return Program(code, names, tuple(arguments), tuple(offsets), frozenset(targets), handlers)


def _handlers(table: bytes, index_at: dict[int, int], size: int) -> tuple[Handler | None, ...]:
    """Return the handler in force at each instruction (format: CPython, Objects/exception_handling_notes.txt)."""
    handlers: list[Handler | None] = [None] * size
    stream = iter(table)
    for byte in stream:
        numbers: list[int] = []
        while len(numbers) < 4:
            value = byte & 63
            while byte & 64:
                byte = next(stream)
                value = value << 6 | byte & 63
            numbers.append(value)
            if len(numbers) < 4:
                byte = next(stream)
        start, length, target, depth = numbers
        first = index_at[2 * start]
        last = index_at.get(2 * (start + length), size)
        handler = Handler(index_at[2 * target], depth >> 1, bool(depth & 1))
        handlers[first:last] = [handler] * (last - first)
    return tuple(handlers)


def line_at(code: types.CodeType, offset: int) -> int:
    """Return the source line of the instruction at `offset`, or the first line of the function."""
    for start, end, line in code.co_lines():
        if start <= offset < end and line is not None:
            return line
    return code.co_firstlineno
