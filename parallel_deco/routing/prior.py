"""Guesses from names and shapes what a function will spend its time on, before anything was measured.

One pass over the bytecode: which modules' functions are named, which method names occur, where the loops are. A
measurement always overrules it. The confidence is meant as a probability; ``tests/test_static.py`` holds the
labelled functions that it was set by.
"""

from __future__ import annotations

import enum
import functools
import types
from dataclasses import dataclass
from typing import Final, NamedTuple

from parallel_deco.routing.bytecode import VERSION, Program, decode
from parallel_deco.routing.known import own_function
from parallel_deco.routing.lookup import (
    MISSING,
    attribute,
    builtins_of,
    class_attribute,
    dotted_name,
    is_a,
    is_any,
    loaded,
)

__all__ = ["Nature", "Prior", "guess"]

DEPTH_MAX: Final = 3
STEPS_MAX: Final = 800
TINY_STEPS: Final = 60  # guessed: about 2 µs of bytecode


class Nature(enum.Enum):
    """What a function spends its time on."""

    WAITS = "waits"
    GIL_FREE = "gil-free"
    GIL_HELD = "gil-held"
    TINY = "tiny"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Prior:
    """A guess.

    Attributes
    ----------
    nature : Nature
    confidence : float
        Between 0 and 1: how often such a guess is right.
    because : str
        What spoke for it: ``"calls time.sleep"``.
    """

    nature: Nature
    confidence: float
    because: str


def _table(text: str) -> dict[str, tuple[Nature, float]]:
    rows = [line.split() for line in text.strip().splitlines()]
    return {name: (Nature(nature), float(weight)) for nature, weight, *names in rows for name in names}


_WAITS, _FREE, _HELD, _TINY = Nature.WAITS, Nature.GIL_FREE, Nature.GIL_HELD, Nature.TINY

# What a call of a function spends its time on, by the longest dotted name that fits, and how often that is so.
_FUNCTIONS: Final = _table("""
    waits    0.97  time.sleep asyncio.sleep builtins.input
    waits    0.9   subprocess os.system posix.system os.waitpid posix.waitpid os.popen select selectors socket _socket
    waits    0.9   urllib.request http ftplib smtplib imaplib poplib telnetlib xmlrpc requests httpx urllib3 aiohttp
    waits    0.9   paramiko boto3 botocore redis pymongo psycopg psycopg2 pymysql sqlalchemy grpc websocket openai
    waits    0.7   threading queue asyncio concurrent.futures multiprocessing signal
    waits    0.6   sqlite3 _sqlite3 shutil os.fsync posix.fsync glob
    waits    0.5   builtins.open _io.open io.open pathlib os.scandir os.walk os.listdir
    gil-free 0.95  hashlib.scrypt hashlib.pbkdf2_hmac _hashlib.scrypt _hashlib.pbkdf2_hmac parallel_deco.kernels
    gil-free 0.85  zlib bz2 _bz2 lzma _lzma gzip zstandard lz4 blosc2
    gil-free 0.8   numpy.linalg numpy.fft scipy.linalg scipy.fft scipy.signal scipy.ndimage
    gil-free 0.75  numpy.dot numpy.matmul numpy.einsum numpy.tensordot numpy.inner numpy.outer numpy.sort numpy.argsort
    gil-free 0.75  numpy.partition numpy.unique numpy.convolve numpy.correlate numpy.cumsum numpy.cumprod numpy.exp
    gil-free 0.75  numpy.log numpy.sin numpy.cos numpy.tan numpy.sqrt numpy.power numpy.arctan2 numpy.hypot numpy.tanh
    gil-free 0.75  numpy.interp numpy.histogram numpy.var numpy.std numpy.median numpy.percentile numpy.quantile
    gil-free 0.75  numpy.bincount numpy.searchsorted
    gil-free 0.7   cv2 PIL torch numba pyarrow polars cryptography soundfile
    gil-free 0.65  numpy.random
    gil-free 0.6   hashlib _hashlib _blake2 _sha2 _sha3 _sha1 _md5 hmac scipy
    gil-free 0.55  sklearn
    gil-free 0.5   numpy
    gil-held 0.95  parallel_deco.kernels.reference
    gil-held 0.9   numpy.vectorize numpy.apply_along_axis numpy.frompyfunc
    gil-held 0.7   scipy.optimize scipy.integrate json _json re csv _csv ast xml html pickle _pickle marshal difflib
    gil-held 0.7   textwrap string tokenize configparser tomllib yaml bs4 lxml sympy networkx nltk jinja2 statistics
    gil-held 0.7   fractions decimal _decimal itertools functools.reduce collections copy.deepcopy heapq bisect random
    gil-held 0.7   base64 binascii struct email math.factorial math.comb math.perm
    gil-held 0.65  pandas builtins.map builtins.filter builtins.any builtins.all
    gil-held 0.6   builtins.sorted builtins.sum builtins.eval builtins.exec
    tiny     0.6   builtins math cmath operator _operator time os posix sys logging datetime dataclasses enum types
    tiny     0.6   uuid warnings contextlib typing
""")

# The same for methods of what is only known when it runs, by their bare name.
_METHODS: Final = _table("""
    waits    0.85  recv recvfrom accept connect sendall communicate urlopen getresponse
    waits    0.6   wait acquire result fetchall fetchone execute executemany read_text read_bytes
    gil-free 0.7   compress decompress dot matmul fft solve
    gil-held 0.6   findall finditer sub subn match search fullmatch most_common groupby apply
""")

_LOOPS: Final = frozenset(("JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"))
_READS_GLOBAL: Final = frozenset(("LOAD_GLOBAL", "LOAD_NAME"))
_READS_ATTRIBUTE: Final = frozenset(("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"))
_MATMUL: Final = (4, 17)


class _Clue(NamedTuple):
    nature: Nature
    weight: float
    because: str
    looped: bool


class _Scan:
    """What was seen so far."""

    def __init__(self) -> None:
        self.clues: list[_Clue] = []
        self.loop = ""  # the first loop, in words
        self.unknown = ""  # the first call of which nothing is known
        self.steps = 0
        self.recursive = ""
        self.seen: list[types.CodeType] = []

    def function(self, function: types.FunctionType, depth: int, looped: bool) -> None:
        """Look through a function in Python."""
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))
        self.code(function.__code__, function.__globals__, builtins_of(function), cells, depth, looped)

    def code(
        self,
        code: types.CodeType,
        module: dict[str, object],
        builtins: dict[str, object],
        cells: dict[str, types.CellType],
        depth: int,
        looped: bool,
    ) -> None:
        """Look through a code object."""
        if code in self.seen:
            return
        self.seen.append(code)
        self.steps += len(code.co_code) >> 4  # it has more instructions than that
        if self.steps > STEPS_MAX:
            return
        program = decode(code)
        self.steps += len(program.names) - (len(code.co_code) >> 4)
        if self.steps > STEPS_MAX:
            return
        loops = self._loops(program)
        thing: object = MISSING
        chained = False
        imported: dict[int, object] = {}
        names, arguments = program.names, program.arguments
        last = len(names) - 1
        for index, name in enumerate(names):
            argument = arguments[index]
            if name in _READS_GLOBAL:
                thing = _global(module, builtins, code.co_names[argument >> (name == "LOAD_GLOBAL")])
            elif name in _READS_ATTRIBUTE:
                member = code.co_names[_attribute_index(name, argument)]
                if not chained:
                    self._method(member, _in(loops, index) or looped)
                    continue
                thing = self._member(thing, member, _in(loops, index) or looped)
            elif name == "IMPORT_NAME":
                thing = loaded(code.co_names[argument])
            elif name == "STORE_FAST" and chained:
                imported[argument] = thing
                chained, thing = False, MISSING
                continue
            elif name[:9] == "LOAD_FAST" and argument in imported:
                thing = imported[argument]
            elif name == "LOAD_DEREF":
                thing = _captured(code, argument, cells)
            else:
                if name == "BINARY_OP":
                    self._operator(argument, _in(loops, index) or looped)
                elif name == "LOAD_CONST" and is_a(code.co_consts[argument], types.CodeType):
                    inner = code.co_consts[argument]
                    self._inner(inner, module, builtins, cells, depth, _in(loops, index) or looped)
                chained = False
                continue
            chained = thing is not MISSING
            following = names[index + 1] if index < last else ""
            if chained and following not in _READS_ATTRIBUTE and following[:10] != "STORE_FAST":
                self._named(thing, code, depth, _in(loops, index) or looped)
                chained = False

    def _loops(self, program: Program) -> list[tuple[int, int]]:
        loops = [
            (program.arguments[index], index)
            for index, name in enumerate(program.names)
            if name in _LOOPS or name[:17] == "POP_JUMP_BACKWARD"
        ]
        if loops and not self.loop and not _is_short(program, loops):
            self.loop = "loops in Python"
        return loops

    def _inner(
        self,
        code: types.CodeType,
        module: dict[str, object],
        builtins: dict[str, object],
        cells: dict[str, types.CellType],
        depth: int,
        looped: bool,
    ) -> None:
        comprehension = code.co_name in ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
        if comprehension and not self.loop:
            self.loop = "loops in Python"
        if depth < DEPTH_MAX:
            self.code(code, module, builtins, cells, depth + 1, looped or comprehension)

    def _member(self, thing: object, name: str, looped: bool) -> object:
        if is_any(thing, (types.ModuleType, type)):
            return attribute(thing, name)
        self._method(name, looped)
        found = class_attribute(type(thing), name)
        return found if is_a(found, types.FunctionType) else MISSING

    def _method(self, name: str, looped: bool) -> None:
        clue = _METHODS.get(name)
        if clue is not None:
            self.clues.append(_Clue(*clue, f"calls .{name}()", looped))

    def _operator(self, argument: int, looped: bool) -> None:
        if argument in _MATMUL:
            self.clues.append(_Clue(_FREE, 0.75, "multiplies matrices", looped))

    def _named(self, thing: object, code: types.CodeType, depth: int, looped: bool) -> None:
        """Look at a function or class that is named, and so most likely called."""
        if is_any(thing, (types.ModuleType, staticmethod, classmethod)):
            return
        for _ in range(4):  # wrappers of this package, caches, partial objects
            inner = attribute(thing, "func" if is_a(thing, functools.partial) else "__wrapped__")
            if is_any(thing, (types.FunctionType, type)) or inner is MISSING:
                break
            thing = thing.func if is_a(thing, functools.partial) else inner
        if is_a(thing, types.MethodType):
            thing = thing.__func__
        if is_a(thing, types.FunctionType) and own_function(thing):
            if thing.__code__ is code:
                self.recursive = f"calls itself ({code.co_name})"
            elif depth < DEPTH_MAX:
                self.function(thing, depth + 1, looped)
            return
        if class_attribute(type(thing), "__call__") is MISSING:
            return
        name = dotted_name(thing)
        clue = _known(name)
        if clue is not None:
            self.clues.append(_Clue(*clue, f"calls {name.removeprefix('builtins.')}", looped))
        elif not is_a(thing, type) and not self.unknown:
            self.unknown = name

    def verdict(self) -> Prior:
        """Weigh what was seen."""
        waits = self._strongest(_WAITS)
        free = self._strongest(_FREE)
        held = self._strongest(_HELD)
        if waits is not None and (waits.weight >= 0.6 or (free is None and held is None and not self.loop)):
            return Prior(_WAITS, waits.weight, waits.because)
        if free is not None and (held is None or free.weight >= held.weight):
            if not self.loop:
                return Prior(_FREE, free.weight, free.because)
            if free.weight >= 0.7:
                return Prior(_FREE, free.weight - 0.2, f"{free.because} in a loop")
            return Prior(_HELD, 0.6, f"{self.loop} around {free.because}")
        if self.recursive:
            return Prior(_HELD, 0.9, self.recursive)
        if self.loop:
            return Prior(_HELD, 0.85 if waits is None else 0.6, self.loop)
        if held is not None:
            return Prior(_HELD, held.weight, held.because)
        if self.steps > STEPS_MAX:
            return Prior(Nature.UNKNOWN, 0.3, "too long to look through")
        if self.unknown:
            return Prior(Nature.UNKNOWN, 0.3, f"calls {self.unknown}, which is not known")
        if self.steps <= TINY_STEPS:
            return Prior(_TINY, 0.85, f"{self.steps} instructions, no loop")
        return Prior(_TINY, 0.6, f"{self.steps} instructions, no loop")

    def _strongest(self, nature: Nature) -> _Clue | None:
        clues = [clue for clue in self.clues if clue.nature is nature]
        return max(clues, key=lambda clue: clue.weight) if clues else None


def _in(loops: list[tuple[int, int]], index: int) -> bool:
    return any(first <= index <= last for first, last in loops)


def _is_short(program: Program, loops: list[tuple[int, int]]) -> bool:
    """Say whether all loops run over ``range`` of a small constant."""
    names, consts = program.names, program.code.co_consts
    for first, _ in loops:
        if names[first] != "FOR_ITER" or first < 3:
            return False
        before = [
            index for index in range(max(first - 5, 0), first) if names[index] in ("LOAD_CONST", "LOAD_SMALL_INT")
        ]
        if not before:
            return False
        argument = program.arguments[before[-1]]
        limit = consts[argument] if names[before[-1]] == "LOAD_CONST" else argument
        if type(limit) is not int or limit > 32:
            return False
    return True


def _global(module: dict[str, object], builtins: dict[str, object], name: str) -> object:
    found = dict.get(module, name, MISSING)
    return dict.get(builtins, name, MISSING) if found is MISSING else found


def _captured(code: types.CodeType, argument: int, cells: dict[str, types.CellType]) -> object:
    index = argument - (len(code.co_varnames) + len([n for n in code.co_cellvars if n not in code.co_varnames]))
    if not 0 <= index < len(code.co_freevars):
        return MISSING
    try:
        return cells[code.co_freevars[index]].cell_contents
    except (KeyError, ValueError):
        return MISSING


def _attribute_index(name: str, argument: int) -> int:
    return argument >> 1 if name == "LOAD_ATTR" and _SHIFTED else argument


_SHIFTED: Final = VERSION >= (3, 12)  # there the low bit of LOAD_ATTR says "for a call"


@functools.lru_cache(512)
def _known(name: str) -> tuple[Nature, float] | None:
    while name:
        clue = _FUNCTIONS.get(name)
        if clue is not None:
            return clue
        name = name.rpartition(".")[0]
    return None


def guess(function: object) -> Prior:
    """Guess what a call of `function` (as `effects.subject_of` gives it) will spend its time on."""
    scan = _Scan()
    if is_a(function, types.FunctionType) and own_function(function):
        scan.function(function, 0, False)
        return scan.verdict()
    if class_attribute(type(function), "__call__") is MISSING:
        return Prior(Nature.UNKNOWN, 0.0, "cannot be called")
    name = dotted_name(function)
    clue = _known(name)
    if clue is None:
        return Prior(Nature.UNKNOWN, 0.3, f"{name} is not known")
    return Prior(*clue, f"is {name.removeprefix('builtins.')}")
