"""The kernels once more in Numba, to measure the shipped ones against: same algorithms, same results, one thread.

Hot loops index with uint64, for a signed index costs a test for negative ones; never mixed with int64, for a
variable that is now one and now the other becomes a float64. The first call compiles.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, SupportsFloat, SupportsIndex

import numpy as np
from numba import njit
from numpy.typing import NDArray

from parallel_deco.kernels.arguments import (
    LAST_INT32,
    LAST_SAMPLES,
    LAST_SEED,
    grid,
    integer,
    matrix_pair,
    number_range,
)

__all__ = ["count_primes", "mandelbrot", "monte_carlo_pi", "pairwise_distances"]

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Indices = NDArray[np.uint64]

compiled = njit(nogil=True, fastmath=False, cache=False)

ZERO, ONE, TWO, THREE, FOUR, SEVEN, EIGHT, THIRTY = (np.uint64(n) for n in (0, 1, 2, 3, 4, 7, 8, 30))


# Primes: a segmented sieve on the wheel of 30, as told in kernels/primes.pyx.

BLOCK = 32 * 1024  # bytes
SEGMENT = 16 * BLOCK  # bytes
SMALL = np.uint64(4 * 1024)  # primes below it are crossed off block by block
PATTERN_LIMIT = 167  # the first prime that no pattern covers
PATTERN_PRIMES = (
    (7, 23, 37), (11, 19, 31), (13, 17, 29), (41, 163), (43, 157), (47, 151), (53, 149), (59, 139),
    (61, 137), (67, 131), (71, 127), (73, 113), (79, 109), (83, 107), (89, 103), (97, 101),
)  # fmt: skip
COUNTED_APART = (2, 3, 5, *(prime for group in PATTERN_PRIMES for prime in group))

# The tables of kernels/wheel.h, from what is said there.
RESIDUE = np.array([1, 7, 11, 13, 17, 19, 23, 29], dtype=np.uint64)
GAP = np.array([6, 4, 2, 4, 2, 4, 6, 2], dtype=np.uint64)
PRODUCT = np.outer(RESIDUE, RESIDUE)
PHASE = np.searchsorted(RESIDUE, np.arange(30, dtype=np.uint64)).astype(np.uint64)
MASK = (255 - (1 << np.searchsorted(RESIDUE, PRODUCT % THIRTY))).astype(np.uint8)
CARRY = (PRODUCT % THIRTY + RESIDUE[:, np.newaxis] * GAP) // THIRTY
OFFSET = PRODUCT // THIRTY


def pattern(primes: tuple[int, ...]) -> Bytes:
    """Return the bytes from 0 on without the multiples of the primes; they repeat after the primes' product."""
    bits = np.full(math.prod(primes), 0xFF, dtype=np.uint8)
    for prime in primes:
        for phase, residue in enumerate(RESIDUE.tolist()):
            bits[prime * residue // 30 :: prime] &= MASK[PHASE[prime % 30], phase]
    return bits


PATTERNS = tuple(pattern(primes) for primes in PATTERN_PRIMES)
NOTHING = np.empty(0, dtype=np.uint8)


class Sieve(NamedTuple):
    """What is known before a range is sieved."""

    base: Bytes  # bits of the primes that cross off
    patterns: tuple[Bytes, ...]
    last: np.uint64  # byte where the range ends


@compiled
def lay_four(bits: Bytes, first: np.uint64, a: Bytes, b: Bytes, c: Bytes, d: Bytes) -> None:
    """Lay four patterns into a block that begins at byte `first`."""
    size = np.uint64(bits.size)
    m, n, o, t = np.uint64(a.size), np.uint64(b.size), np.uint64(c.size), np.uint64(d.size)
    p, q, r, s = first % m, first % n, first % o, first % t
    done = ZERO
    while done < size:
        chunk = min(size - done, m - p, n - q, o - r, t - s)
        for k in range(chunk):
            bits[done + k] &= a[p + k] & b[q + k] & c[r + k] & d[s + k]
        done += chunk
        p = p + chunk if p + chunk < m else ZERO
        q = q + chunk if q + chunk < n else ZERO
        r = r + chunk if r + chunk < o else ZERO
        s = s + chunk if s + chunk < t else ZERO


@compiled
def lay_patterns(bits: Bytes, first: np.uint64, p: tuple[Bytes, ...]) -> None:
    """Set the bits of a block that begins at byte `first`, all but those of the patterns' multiples."""
    bits[:] = np.uint8(0xFF)
    lay_four(bits, first, p[0], p[1], p[2], p[3])
    lay_four(bits, first, p[4], p[5], p[6], p[7])
    lay_four(bits, first, p[8], p[9], p[10], p[11])
    lay_four(bits, first, p[12], p[13], p[14], p[15])
    if first == ZERO:
        bits[0] &= np.uint8(0xFE)  # 1 is no prime


def class_crosser(c: int) -> Callable[..., None]:
    """Return what crosses off the primes of class `c`: as closure variables, masks and offsets are constants."""
    masks, carries, residue = MASK[c].copy(), CARRY[c].copy(), RESIDUE[c]
    m0, m1, m2, m3, m4, m5, m6, m7 = masks
    _, o1, o2, o3, o4, o5, o6, o7 = OFFSET[c]
    n6, n10, n12, n16, n18, n22, n28 = (np.uint64(n) for n in (6, 10, 12, 16, 18, 22, 28))

    @compiled
    def cross_off_class(bits: Bytes, items: NDArray[np.uint32], length: np.uint64) -> None:
        """Clear the multiples of the primes in a block, and move them on to the next block."""
        size = np.uint64(bits.size)
        for n in range(length):
            a = np.uint64(items[n, 0]) >> THREE
            phase = np.uint64(items[n, 0]) & SEVEN
            k = np.uint64(items[n, 1])
            while phase != ZERO and k < size:
                bits[k] &= masks[phase]
                k += a * GAP[phase] + carries[phase]
                phase = (phase + ONE) & SEVEN
            if phase == ZERO:
                turn, last = THIRTY * a + residue, n28 * a + o7
                d1, d2, d3 = n6 * a + o1, n10 * a + o2, n12 * a + o3
                d4, d5, d6 = n16 * a + o4, n18 * a + o5, n22 * a + o6
                while k + last < size:
                    bits[k] &= m0
                    bits[k + d1] &= m1
                    bits[k + d2] &= m2
                    bits[k + d3] &= m3
                    bits[k + d4] &= m4
                    bits[k + d5] &= m5
                    bits[k + d6] &= m6
                    bits[k + last] &= m7
                    k += turn
                while k < size:  # ends before the turn does
                    bits[k] &= masks[phase]
                    k += a * GAP[phase] + carries[phase]
                    phase += ONE
            items[n, 0] = np.uint32((a << THREE) | phase)
            items[n, 1] = np.uint32(k - size)

    return cross_off_class


cross_0, cross_1, cross_2, cross_3, cross_4, cross_5, cross_6, cross_7 = map(class_crosser, range(8))


@compiled
def cross_off(bits: Bytes, items: NDArray[np.uint32], lengths: Indices) -> None:
    cross_0(bits, items[0], lengths[0])
    cross_1(bits, items[1], lengths[1])
    cross_2(bits, items[2], lengths[2])
    cross_3(bits, items[3], lengths[3])
    cross_4(bits, items[4], lengths[4])
    cross_5(bits, items[5], lengths[5])
    cross_6(bits, items[6], lengths[6])
    cross_7(bits, items[7], lengths[7])


@compiled
def no_primes() -> tuple[NDArray[np.uint32], Indices]:
    """Return empty lists: for each residue the small primes, then the large ones; items of turn and position."""
    return np.empty((16, 64, 2), np.uint32), np.zeros(16, np.uint64)


@compiled
def grown(items: NDArray[np.uint32]) -> NDArray[np.uint32]:
    capacity = items.shape[1]
    larger = np.empty((16, 2 * capacity, 2), np.uint32)
    larger[:, :capacity] = items
    return larger


@compiled
def enlist(
    sieve: Sieve, cursor: np.uint64, first: np.uint64, end: np.uint64, items: NDArray[np.uint32], lengths: Indices
) -> tuple[np.uint64, NDArray[np.uint32]]:
    """Enter the primes whose square lies below byte `end`; return the next bit of the base, and the lists."""
    low, high = THIRTY * first, THIRTY * end
    base, last = sieve.base, sieve.last
    bits = EIGHT * np.uint64(base.size)
    while cursor < bits:
        residue = cursor & SEVEN
        prime = THIRTY * (cursor >> THREE) + RESIDUE[residue]
        if prime * prime >= high:
            break
        if (np.uint64(base[cursor >> THREE]) >> residue) & ONE != ZERO:
            factor = prime
            if factor * prime < low:
                factor = (low - ONE) // prime + ONE
            phase = PHASE[factor % THIRTY]
            factor += RESIDUE[phase] - factor % THIRTY
            byte = factor * prime // THIRTY
            if byte < last:  # far up the number line most primes have no multiple in the range
                row = residue if prime < SMALL else residue + EIGHT
                if lengths[row] == np.uint64(items.shape[1]):
                    items = grown(items)
                items[row, lengths[row], 0] = np.uint32(((prime // THIRTY) << THREE) | phase)
                items[row, lengths[row], 1] = np.uint32(byte - first)
                lengths[row] += ONE
        cursor += ONE
    return cursor, items


@compiled
def sieve_segment(
    sieve: Sieve, bits: Bytes, first: np.uint64, cursor: np.uint64, items: NDArray[np.uint32], lengths: Indices
) -> tuple[np.uint64, NDArray[np.uint32]]:
    """Leave set the primes' bits in the segment that begins at byte `first`; return what `enlist` does."""
    cursor, items = enlist(sieve, cursor, first, first + np.uint64(bits.size), items, lengths)
    patterns = sieve.patterns
    for begin in range(0, bits.size, BLOCK):
        block = bits[begin : begin + BLOCK]
        lay_patterns(block, first + np.uint64(begin), patterns)
        cross_off(block, items[:8], lengths[:8])
    cross_off(bits, items[8:], lengths[8:])
    return cursor, items


@compiled
def sieve_from_zero(sieve: Sieve) -> Bytes:
    """Return the bits of the primes in the whole range."""
    size = np.int64(sieve.last)
    bits = np.empty(size, np.uint8)
    items, lengths = no_primes()
    cursor = ZERO
    for begin in range(0, size, SEGMENT):
        segment = bits[begin : begin + SEGMENT]
        cursor, items = sieve_segment(sieve, segment, np.uint64(begin), cursor, items, lengths)
    return bits


def prepare(last: int) -> Sieve:
    """Make ready to sieve up to byte `last`."""
    root = math.isqrt(30 * last)
    base = sieve_from_zero(prepare(root // 30 + 1)) if root >= PATTERN_LIMIT else NOTHING
    return Sieve(base, PATTERNS, np.uint64(last))


@compiled
def count_bits(words: Indices) -> np.uint64:
    total = ZERO
    for k in range(words.size):
        word = words[k]
        word -= (word >> ONE) & np.uint64(0x5555555555555555)
        word = (word & np.uint64(0x3333333333333333)) + ((word >> TWO) & np.uint64(0x3333333333333333))
        word = (word + (word >> FOUR)) & np.uint64(0x0F0F0F0F0F0F0F0F)
        total += (word * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return total


@compiled
def clip(bits: Bytes, first: np.uint64, start: np.uint64, stop: np.uint64) -> None:
    """Clear the bits outside of [start, stop) in a segment that begins at byte `first`."""
    end = first + np.uint64(bits.size) - ONE
    for residue in range(EIGHT):
        keep = np.uint8(np.uint64(0xFF) - (ONE << residue))
        if THIRTY * first + RESIDUE[residue] < start:
            bits[0] &= keep
        if THIRTY * end + RESIDUE[residue] >= stop:
            bits[bits.size - 1] &= keep


@compiled
def count_range(sieve: Sieve, start: np.uint64, stop: np.uint64) -> np.uint64:
    """Count the primes of [start, stop) from `PATTERN_LIMIT` on."""
    first, total, cursor = start // THIRTY, ZERO, ZERO
    bits = np.empty(SEGMENT + 8, np.uint8)
    items, lengths = no_primes()
    while first < sieve.last:
        size = min(np.int64(sieve.last - first), SEGMENT)
        segment = bits[:size]
        cursor, items = sieve_segment(sieve, segment, first, cursor, items, lengths)
        clip(segment, first, start, stop)
        bits[size : size + 8] = np.uint8(0)
        total += count_bits(bits[: (size + 7) // 8 * 8].view(np.uint64))
        first += np.uint64(size)
    return total


def count_primes(start: SupportsIndex, stop: SupportsIndex) -> int:
    """Count the primes p with ``start <= p < stop``."""
    first, last = number_range(start, stop)
    total = 0
    if first < last:
        total = int(count_range(prepare((last - 1) // 30 + 1), np.uint64(first), np.uint64(last)))
    return total + sum(1 for prime in COUNTED_APART if first <= prime < last)


# The Mandelbrot set: many points at once, in lanes, as told in kernels/mandelbrot.pyx.

# Twice those of the kernel: LLVM unrolls a loop of about 16 whole before it looks for vectors, and Numba has the
# vectorizer for straight code switched off. Guessed from LLVM's thresholds, not measured.
LANES = 32
STRIDE = 8  # iterations between two looks at which points are done
LANE_COUNT = np.uint64(LANES)
# One array for all that the lanes hold, so that LLVM sees that nothing overlaps.
CX, CY, ZX, ZY, INSIDE, COUNT = (np.uint64(n * LANES) for n in range(6))


class Picture(NamedTuple):
    """What `grid` tells of a picture, and where the counts end."""

    left: float
    column_step: float
    bottom: float
    row_step: float
    width: int
    height: int
    max_iter: int


@compiled
def never_escapes(x: float, y: float) -> bool:
    """Whether a point lies in the main cardioid or in the disc of period 2 left of it."""
    yy = y * y
    q = (x - 0.25) * (x - 0.25) + yy
    return q * (q + (x - 0.25)) < 0.25 * yy or (x + 1.0) * (x + 1.0) + yy < 0.0625


@compiled
def iterate(lanes: Floats) -> None:
    """Take every lane `STRIDE` iterations on. A point that has left stays marked, whatever becomes of it."""
    for _ in range(STRIDE):
        for k in range(LANE_COUNT):
            zx, zy, inside = lanes[ZX + k], lanes[ZY + k], lanes[INSIDE + k]
            xx = zx * zx
            yy = zy * zy
            inside = inside if xx + yy <= 4.0 else 0.0
            lanes[INSIDE + k] = inside
            lanes[COUNT + k] += inside
            lanes[ZY + k] = 2.0 * zx * zy + lanes[CY + k]
            lanes[ZX + k] = xx - yy + lanes[CX + k]


@compiled
def take_up(
    lanes: Floats,
    pixels: NDArray[np.int64],
    k: np.uint64,
    picture: Picture,
    counts: NDArray[np.int32],
    column: int,
    row: int,
) -> tuple[int, int]:
    """Give lane `k` the next point that needs iterating, pixel -1 if there is none; return where to go on."""
    lanes[ZX + k] = 0.0
    lanes[ZY + k] = 0.0
    lanes[COUNT + k] = 0.0
    while row < picture.height:
        x = picture.left + column * picture.column_step
        y = picture.bottom + row * picture.row_step
        pixel = row * picture.width + column
        column += 1
        if column == picture.width:
            column = 0
            row += 1
        if never_escapes(x, y):
            counts[pixel] = picture.max_iter
        else:
            lanes[CX + k] = x
            lanes[CY + k] = y
            lanes[INSIDE + k] = 1.0
            pixels[k] = pixel
            return column, row
    lanes[CX + k] = 0.0
    lanes[CY + k] = 0.0
    lanes[INSIDE + k] = 0.0
    pixels[k] = -1
    return column, row


@compiled
def draw(picture: Picture, counts: NDArray[np.int32]) -> None:
    """Fill `counts`, row by row."""
    lanes, pixels = np.zeros(6 * LANES), np.empty(LANES, np.int64)
    limit = np.float64(picture.max_iter)
    column, row, busy = 0, 0, 0
    for k in range(LANE_COUNT):
        column, row = take_up(lanes, pixels, k, picture, counts, column, row)
        if pixels[k] >= 0:
            busy += 1
    while busy > 0:
        iterate(lanes)
        for k in range(LANE_COUNT):
            if pixels[k] >= 0 and (lanes[INSIDE + k] == 0.0 or lanes[COUNT + k] >= limit):
                # A point may have gone on beyond max_iter, up to the end of the stride.
                counts[pixels[k]] = np.int32(min(lanes[COUNT + k], limit))
                column, row = take_up(lanes, pixels, k, picture, counts, column, row)
                if pixels[k] < 0:
                    busy -= 1


def mandelbrot(
    xmin: SupportsFloat,
    xmax: SupportsFloat,
    ymin: SupportsFloat,
    ymax: SupportsFloat,
    width: SupportsIndex,
    height: SupportsIndex,
    max_iter: SupportsIndex,
) -> NDArray[np.int32]:
    """Count the iterations of each pixel until it escapes."""
    left, dx, bottom, dy, columns, rows = grid(xmin, xmax, ymin, ymax, width, height)
    limit = integer("max_iter", max_iter, 0, LAST_INT32)
    counts = np.empty((rows, columns), dtype=np.int32)
    if counts.size:
        draw(Picture(left, dx, bottom, dy, columns, rows, limit), counts.reshape(-1))
    return counts


# Pi: points in a square from a hashed counter, as told in kernels/pi.pyx.

FIRST_FACTOR, SECOND_FACTOR = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
SHIFT_27, SHIFT_30, SHIFT_31, SHIFT_33, SHIFT_62 = (np.uint64(n) for n in (27, 30, 31, 33, 62))
LOW_31 = np.uint64(2**31 - 1)


@compiled
def mix(bits: np.uint64) -> np.uint64:
    """Hash 64 bits: the output function of SplitMix64."""
    bits = (bits ^ (bits >> SHIFT_30)) * FIRST_FACTOR
    bits = (bits ^ (bits >> SHIFT_27)) * SECOND_FACTOR
    return bits ^ (bits >> SHIFT_31)


@compiled
def count_hits(samples: int, seed: np.uint64) -> np.uint64:
    """Count how many of the first points of a seed lie inside the quarter disc."""
    outside, counter = ZERO, mix(seed) + GOLDEN
    for _ in range(samples):
        bits = mix(counter)
        x = bits >> SHIFT_33
        y = (bits >> ONE) & LOW_31
        outside += (x * (x + ONE) + y * (y + ONE)) >> SHIFT_62
        counter += GOLDEN
    return np.uint64(samples) - outside


def monte_carlo_pi(samples: SupportsIndex, seed: SupportsIndex) -> float:
    """Estimate pi from random points in a square."""
    count = integer("samples", samples, 1, LAST_SAMPLES)
    hits = count_hits(count, np.uint64(integer("seed", seed, 0, LAST_SEED)))
    return 4 * int(hits) / count


# Distances, panel by panel as told in kernels/distances.pyx. Numba keeps no array in registers: the sums stay in
# memory, so a pass takes four coordinates and a panel twice as many points, which is Numba's faster way.

POINTS = 64
DEPTH = 64
WIDTH = np.uint64(POINTS)


@compiled
def fill_panel(panel: Floats, y: Floats, first_point: int, first_depth: int) -> None:
    """Copy the part of `y` that begins there, coordinate by coordinate; missing points become zeros."""
    points = min(y.shape[0] - first_point, POINTS)
    for k in range(min(y.shape[1] - first_depth, DEPTH)):
        for j in range(points):
            panel[k * POINTS + j] = y[first_point + j, first_depth + k]
        for j in range(points, POINTS):
            panel[k * POINTS + j] = 0.0


@compiled
def sum_squares(total: Floats, x: Floats, i: np.uint64, first: np.uint64, depth: np.uint64, panel: Floats) -> None:
    """Sum up the squared differences between point `i` and each of the panel's points."""
    total[:] = 0.0
    k = ZERO
    while k + FOUR <= depth:
        p, q = x[i, first + k], x[i, first + k + ONE]
        r, s = x[i, first + k + TWO], x[i, first + k + THREE]
        begin = k * WIDTH
        for j in range(WIDTH):
            a = p - panel[begin + j]
            b = q - panel[begin + WIDTH + j]
            c = r - panel[begin + TWO * WIDTH + j]
            d = s - panel[begin + THREE * WIDTH + j]
            total[j] = total[j] + a * a + b * b + c * c + d * d
        k += FOUR
    while k < depth:
        p = x[i, first + k]
        for j in range(WIDTH):
            a = p - panel[k * WIDTH + j]
            total[j] += a * a
        k += ONE


@compiled
def add_panel(out: Floats, x: Floats, panel: Floats, total: Floats, first_point: int, first_depth: int) -> None:
    """Add the panel's sums to those that earlier panels left in `out`; after the last one, take their roots."""
    column, first = np.uint64(first_point), np.uint64(first_depth)
    points = np.uint64(min(out.shape[1] - first_point, POINTS))
    depth = np.uint64(min(x.shape[1] - first_depth, DEPTH))
    last = first_depth + DEPTH >= x.shape[1]
    for i in range(np.uint64(x.shape[0])):
        sum_squares(total, x, i, first, depth, panel)
        if first_depth > 0:
            for j in range(points):
                total[j] += out[i, column + j]
        if last:
            for j in range(points):
                out[i, column + j] = math.sqrt(total[j])
        else:
            for j in range(points):
                out[i, column + j] = total[j]


@compiled
def fill_distances(out: Floats, x: Floats, y: Floats) -> None:
    panel, total = np.empty(POINTS * DEPTH), np.empty(POINTS)
    for first_point in range(0, y.shape[0], POINTS):
        for first_depth in range(0, y.shape[1], DEPTH):
            fill_panel(panel, y, first_point, first_depth)
            add_panel(out, x, panel, total, first_point, first_depth)


def pairwise_distances(x: Floats, y: Floats) -> Floats:
    """Compute the distance between each point of `x` and each point of `y`."""
    x, y = (np.ascontiguousarray(points) for points in matrix_pair(x, y))
    allocate: Any = np.empty if x.shape[1] else np.zeros  # without coordinates there is no panel
    out: Floats = allocate((len(x), len(y)))
    if out.size:
        fill_distances(out, x, y)
    return out
