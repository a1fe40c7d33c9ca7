/* The kernels once more in plain C, to measure the shipped ones against: same algorithms, same results, one thread.

   Compiled by __init__.py with -O3 -march=native. */

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wheel.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static inline size_t lesser(size_t a, size_t b) { return a < b ? a : b; }

/* Primes: a segmented sieve on the wheel of 30, as told in kernels/primes.pyx. */

enum {
    BLOCK = 32 * 1024,    /* bytes */
    SEGMENT = 16 * BLOCK, /* bytes */
    SMALL = 4 * 1024,     /* primes below it are crossed off block by block */
    PATTERNS = 16,
    PATTERN_SPACE = 144 * 1024,
    PATTERN_LIMIT = 167 /* the first prime that no pattern covers */
};

struct sieving_prime {
    uint32_t turn;     /* 8 * (p // 30) + the phase of the next multiple */
    uint32_t position; /* byte of the next multiple, counted from the block or segment that comes next */
};

struct prime_list {
    struct sieving_prime *items;
    size_t length, capacity;
};

struct sieve {
    struct prime_list small[8], large[8]; /* one list for each residue of p modulo 30 */
    uint8_t *base;                        /* bits of the primes that cross off */
    uint64_t base_bits, cursor;           /* how many bits, and the first that is not in a list yet */
    uint64_t last;                        /* byte where the range ends */
};

static const uint8_t pattern_primes[PATTERNS][3] = {
    {7, 23, 37}, {11, 19, 31}, {13, 17, 29}, {41, 163, 1}, {43, 157, 1}, {47, 151, 1}, {53, 149, 1}, {59, 139, 1},
    {61, 137, 1}, {67, 131, 1}, {71, 127, 1}, {73, 113, 1}, {79, 109, 1}, {83, 107, 1}, {89, 103, 1}, {97, 101, 1},
};

static uint8_t pattern_bits[PATTERN_SPACE];
static const uint8_t *pattern[PATTERNS];
static size_t pattern_period[PATTERNS];

/* Clear the multiples of a prime, itself among them, in the bytes [0, size) of the number line. */
static void erase_multiples(uint8_t *bits, size_t size, size_t prime)
{
    for (size_t phase = 0; phase < 8; phase++) {
        uint8_t mask = wheel_mask[wheel_phase[prime % 30]][phase];
        for (size_t k = prime * wheel_residue[phase] / 30; k < size; k += prime)
            bits[k] &= mask;
    }
}

/* Once, when the library is loaded. */
__attribute__((constructor)) static void fill_patterns(void)
{
    uint8_t *bits = pattern_bits;
    memset(bits, 0xFF, PATTERN_SPACE);
    for (int which = 0; which < PATTERNS; which++) {
        const uint8_t *primes = pattern_primes[which];
        size_t period = (size_t)primes[0] * primes[1] * primes[2];
        for (int n = 0; n < 3; n++)
            if (primes[n] > 1)
                erase_multiples(bits, period, primes[n]);
        pattern[which] = bits;
        pattern_period[which] = period;
        bits += period;
    }
}

static void and_four(uint8_t *restrict bits, const uint8_t *restrict a, const uint8_t *restrict b,
                     const uint8_t *restrict c, const uint8_t *restrict d, size_t size)
{
    for (size_t k = 0; k < size; k++)
        bits[k] &= a[k] & b[k] & c[k] & d[k];
}

/* Four patterns, from `group` on, into a block that begins at byte `first`. */
static void lay_four(uint8_t *bits, size_t size, uint64_t first, int group)
{
    const uint8_t **p = pattern + group;
    size_t phase[4], chunk;
    for (int n = 0; n < 4; n++)
        phase[n] = first % pattern_period[group + n];
    for (size_t done = 0; done < size; done += chunk) {
        chunk = size - done;
        for (int n = 0; n < 4; n++)
            chunk = lesser(chunk, pattern_period[group + n] - phase[n]);
        and_four(bits + done, p[0] + phase[0], p[1] + phase[1], p[2] + phase[2], p[3] + phase[3], chunk);
        for (int n = 0; n < 4; n++) {
            phase[n] += chunk;
            if (phase[n] == pattern_period[group + n])
                phase[n] = 0;
        }
    }
}

/* Set the bits of a block that begins at byte `first`, all but those of the patterns' multiples. */
static void lay_patterns(uint8_t *bits, size_t size, uint64_t first)
{
    memset(bits, 0xFF, size);
    for (int group = 0; group < PATTERNS; group += 4)
        lay_four(bits, size, first, group);
    if (first == 0)
        bits[0] &= 0xFE; /* 1 is no prime */
}

/* Clear the multiples of primes of one residue class in a block, and move them on to the next block. Inlined
   where the class is a number, so that masks and offsets are constants. */
static inline __attribute__((always_inline)) void cross_off_class(uint8_t *bits, size_t size,
                                                                  struct prime_list *primes, const int c)
{
    const uint8_t *mask = wheel_mask[c], *carry = wheel_carry[c], *offset = wheel_offset[c];
    struct sieving_prime *item = primes->items, *end = item + primes->length;
    for (; item < end; item++) {
        size_t a = item->turn >> 3, phase = item->turn & 7, k = item->position;
        for (; phase != 0 && k < size; phase = (phase + 1) & 7) {
            bits[k] &= mask[phase];
            k += a * wheel_gap[phase] + carry[phase];
        }
        if (phase == 0) {
            size_t last = 28 * a + offset[7];
            if (k + last < size) { /* with pointers, all fits the registers */
                uint8_t *at = bits + k, *stop = bits + size - last;
                for (; at < stop; at += 30 * a + wheel_residue[c]) {
                    at[0] &= mask[0];
                    at[6 * a + offset[1]] &= mask[1];
                    at[10 * a + offset[2]] &= mask[2];
                    at[12 * a + offset[3]] &= mask[3];
                    at[16 * a + offset[4]] &= mask[4];
                    at[18 * a + offset[5]] &= mask[5];
                    at[22 * a + offset[6]] &= mask[6];
                    at[last] &= mask[7];
                }
                k = (size_t)(at - bits);
            }
            for (; k < size; phase++) { /* ends before the turn does */
                bits[k] &= mask[phase];
                k += a * wheel_gap[phase] + carry[phase];
            }
        }
        item->turn = (uint32_t)(a << 3 | phase);
        item->position = (uint32_t)(k - size);
    }
}

static void cross_off(uint8_t *bits, size_t size, struct prime_list *primes)
{
    cross_off_class(bits, size, &primes[0], 0);
    cross_off_class(bits, size, &primes[1], 1);
    cross_off_class(bits, size, &primes[2], 2);
    cross_off_class(bits, size, &primes[3], 3);
    cross_off_class(bits, size, &primes[4], 4);
    cross_off_class(bits, size, &primes[5], 5);
    cross_off_class(bits, size, &primes[6], 6);
    cross_off_class(bits, size, &primes[7], 7);
}

static bool append(struct prime_list *primes, uint32_t turn, uint32_t position)
{
    if (primes->length == primes->capacity) {
        size_t capacity = 2 * primes->capacity + 64;
        struct sieving_prime *items = realloc(primes->items, capacity * sizeof *items);
        if (items == NULL)
            return false;
        primes->items = items;
        primes->capacity = capacity;
    }
    primes->items[primes->length++] = (struct sieving_prime){turn, position};
    return true;
}

/* Enter the primes whose square lies below byte `end` into the lists; a segment begins at byte `first`. */
static bool enlist(struct sieve *sieve, uint64_t first, uint64_t end)
{
    uint64_t low = 30 * first, high = 30 * end;
    for (; sieve->cursor < sieve->base_bits; sieve->cursor++) {
        int residue = sieve->cursor & 7;
        uint64_t prime = 30 * (sieve->cursor >> 3) + wheel_residue[residue];
        if (prime * prime >= high)
            break;
        if (!(sieve->base[sieve->cursor >> 3] >> residue & 1))
            continue;
        uint64_t factor = prime;
        if (factor * prime < low)
            factor = (low - 1) / prime + 1;
        uint32_t phase = wheel_phase[factor % 30];
        factor += wheel_residue[phase] - factor % 30;
        uint64_t byte = factor * prime / 30;
        if (byte >= sieve->last)
            continue; /* far up the number line most primes have no multiple in the range */
        struct prime_list *lists = prime < SMALL ? sieve->small : sieve->large;
        if (!append(&lists[residue], (uint32_t)(prime / 30) << 3 | phase, (uint32_t)(byte - first)))
            return false;
    }
    return true;
}

/* Leave set the primes' bits in the segment that begins at byte `first`; false if memory ran out. */
static bool sieve_segment(struct sieve *sieve, uint8_t *bits, uint64_t first, size_t size)
{
    if (!enlist(sieve, first, first + size))
        return false;
    for (size_t begin = 0; begin < size; begin += BLOCK) {
        size_t part = lesser(size - begin, BLOCK);
        lay_patterns(bits + begin, part, first + begin);
        cross_off(bits + begin, part, sieve->small);
    }
    cross_off(bits, size, sieve->large);
    return true;
}

static void release(struct sieve *sieve)
{
    for (int residue = 0; residue < 8; residue++) {
        free(sieve->small[residue].items);
        free(sieve->large[residue].items);
    }
    free(sieve->base);
}

static uint64_t square_root(uint64_t n)
{
    uint64_t root = (uint64_t)sqrt((double)n);
    while (root * root > n)
        root--;
    while ((root + 1) * (root + 1) <= n)
        root++;
    return root;
}

static uint8_t *sieve_from_zero(size_t size);

/* Make ready to sieve up to byte `last`; false if memory ran out. */
static bool prepare(struct sieve *sieve, uint64_t last)
{
    uint64_t root = square_root(30 * last);
    memset(sieve, 0, sizeof *sieve);
    sieve->last = last;
    if (root < PATTERN_LIMIT)
        return true;
    sieve->base_bits = (root / 30 + 1) * 8;
    sieve->base = sieve_from_zero(root / 30 + 1);
    return sieve->base != NULL;
}

/* Bits of the primes in the first `size` bytes, to be freed by the caller; NULL if memory ran out. */
static uint8_t *sieve_from_zero(size_t size)
{
    struct sieve sieve;
    uint8_t *bits = malloc(size);
    if (bits == NULL)
        return NULL;
    bool done = prepare(&sieve, size);
    for (size_t begin = 0; done && begin < size; begin += SEGMENT)
        done = sieve_segment(&sieve, bits + begin, begin, lesser(size - begin, SEGMENT));
    release(&sieve);
    if (!done) {
        free(bits);
        return NULL;
    }
    return bits;
}

/* Number of set bits; `size` is a multiple of 8. */
static uint64_t count_bits(const uint8_t *bits, size_t size)
{
    uint64_t word, total = 0;
    for (size_t k = 0; k < size; k += 8) {
        memcpy(&word, bits + k, 8);
        total += (uint64_t)__builtin_popcountll(word);
    }
    return total;
}

/* Clear the bits outside of [start, stop) in a segment that begins at byte `first`; pad it with zeros. */
static void clip(uint8_t *bits, uint64_t first, size_t size, uint64_t start, uint64_t stop)
{
    uint64_t end = first + size - 1;
    for (int residue = 0; residue < 8; residue++) {
        if (30 * first + wheel_residue[residue] < start)
            bits[0] &= (uint8_t)~(1 << residue);
        if (30 * end + wheel_residue[residue] >= stop)
            bits[size - 1] &= (uint8_t)~(1 << residue);
    }
    memset(bits + size, 0, 8);
}

/* Add the primes of [start, stop) from PATTERN_LIMIT on to `total`; false if memory ran out. */
static bool count(uint64_t start, uint64_t stop, uint64_t *total)
{
    struct sieve sieve;
    uint64_t first = start / 30, last = (stop - 1) / 30 + 1;
    uint8_t *bits = malloc(lesser(last - first, SEGMENT) + 8);
    if (bits == NULL)
        return false;
    bool done = prepare(&sieve, last);
    for (; done && first < last; first += SEGMENT) {
        size_t size = lesser(last - first, SEGMENT);
        done = sieve_segment(&sieve, bits, first, size);
        if (done) {
            clip(bits, first, size, start, stop);
            *total += count_bits(bits, (size + 7) & ~(size_t)7);
        }
    }
    release(&sieve);
    free(bits);
    return done;
}

/* The number of primes p with start <= p < stop; UINT64_MAX if memory ran out. */
uint64_t count_primes(uint64_t start, uint64_t stop)
{
    static const uint8_t apart[] = {
        2,  3,  5,  7,  11, 13, 17, 19, 23, 29,  31,  37,  41,  43,  47,  53,  59,  61,  67,
        71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163,
    };
    uint64_t total = 0;
    if (start >= stop)
        return 0;
    if (!count(start, stop, &total))
        return UINT64_MAX;
    for (size_t n = 0; n < COUNT_OF(apart); n++)
        total += start <= apart[n] && apart[n] < stop;
    return total;
}

/* The Mandelbrot set: many points at once, in lanes, as told in kernels/mandelbrot.pyx. Multiplications and additions
   are rounded one by one here: fused, they give other counts at the border of the set. */

#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")

enum {
    LANES = 16,
    STRIDE = 8 /* iterations between two looks at which points are done */
};

struct lanes {
    double cx[LANES], cy[LANES], zx[LANES], zy[LANES];
    double inside[LANES];   /* 1.0 until the point has left the disc of radius 2, then 0.0 */
    double count[LANES];    /* iterations done inside */
    int64_t pixel[LANES];   /* -1 in an idle lane */
};

struct picture {
    double left, column_step, bottom, row_step;
    int64_t width, height, max_iter;
    int64_t row, column; /* the next pixel to be taken up */
    int32_t *counts;
};

/* Whether a point lies in the main cardioid or in the disc of period 2 left of it. */
static inline bool never_escapes(double x, double y)
{
    double yy = y * y, q = (x - 0.25) * (x - 0.25) + yy;
    return q * (q + (x - 0.25)) < 0.25 * yy || (x + 1.0) * (x + 1.0) + yy < 0.0625;
}

/* Take every lane STRIDE iterations on. A point that has left stays marked, whatever becomes of it. */
static void iterate(struct lanes *lanes)
{
    for (int n = 0; n < STRIDE; n++)
        for (int k = 0; k < LANES; k++) {
            double xx = lanes->zx[k] * lanes->zx[k];
            double yy = lanes->zy[k] * lanes->zy[k];
            lanes->inside[k] = xx + yy <= 4.0 ? lanes->inside[k] : 0.0;
            lanes->count[k] += lanes->inside[k];
            lanes->zy[k] = 2.0 * lanes->zx[k] * lanes->zy[k] + lanes->cy[k];
            lanes->zx[k] = xx - yy + lanes->cx[k];
        }
}

/* Give lane `k` the next point that needs iterating; false if there is none, the lane is idle then. */
static bool take_up(struct lanes *lanes, int k, struct picture *picture)
{
    lanes->zx[k] = lanes->zy[k] = lanes->count[k] = 0.0;
    while (picture->row < picture->height) {
        double x = picture->left + (double)picture->column * picture->column_step;
        double y = picture->bottom + (double)picture->row * picture->row_step;
        int64_t pixel = picture->row * picture->width + picture->column;
        if (++picture->column == picture->width) {
            picture->column = 0;
            picture->row++;
        }
        if (never_escapes(x, y)) {
            picture->counts[pixel] = (int32_t)picture->max_iter;
        } else {
            lanes->cx[k] = x;
            lanes->cy[k] = y;
            lanes->inside[k] = 1.0;
            lanes->pixel[k] = pixel;
            return true;
        }
    }
    lanes->cx[k] = lanes->cy[k] = lanes->inside[k] = 0.0;
    lanes->pixel[k] = -1;
    return false;
}

/* The iterations of each pixel until it escapes, at most `max_iter`, into `out` row by row. */
void mandelbrot(double left, double column_step, double bottom, double row_step, int64_t width, int64_t height,
                int64_t max_iter, int32_t *out)
{
    struct picture picture = {left, column_step, bottom, row_step, width, height, max_iter, 0, 0, out};
    struct lanes lanes;
    double limit = (double)max_iter;
    int busy = 0;
    if (width <= 0 || height <= 0)
        return;
    for (int k = 0; k < LANES; k++)
        busy += take_up(&lanes, k, &picture);
    while (busy > 0) {
        iterate(&lanes);
        for (int k = 0; k < LANES; k++)
            if (lanes.pixel[k] >= 0 && (lanes.inside[k] == 0.0 || lanes.count[k] >= limit)) {
                /* A point may have gone on beyond max_iter, up to the end of the stride. */
                out[lanes.pixel[k]] = (int32_t)(lanes.count[k] < limit ? lanes.count[k] : limit);
                busy -= !take_up(&lanes, k, &picture);
            }
    }
}

#pragma GCC pop_options

/* Pi: points in a square from a hashed counter, as told in kernels/pi.pyx. */

/* The output function of SplitMix64, all but its last step. */
static inline uint64_t stir(uint64_t bits)
{
    bits = (bits ^ bits >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    return (bits ^ bits >> 27) * UINT64_C(0x94D049BB133111EB);
}

/* Four times the share of the points that fall into the quarter disc; `samples` is at most 2**53. */
double monte_carlo_pi(uint64_t samples, uint64_t seed)
{
    const uint64_t step = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t outside = 0, start = stir(seed), counter = (start ^ start >> 31) + step;
    for (uint64_t i = 0; i < samples; i++, counter += step) {
        uint64_t bits = stir(counter), x = bits >> 33, y = (bits >> 1 ^ bits >> 32) & 0x7FFFFFFF;
        outside += (x * (x + 1) + y * (y + 1)) >> 62;
    }
    return 4.0 * (double)(samples - outside) / (double)samples;
}

/* Distances: panels of points and coordinates of the second set, as told in kernels/distances.pyx. */

enum { GROUP = 32, DEPTH = 64, NUMBERS = GROUP * DEPTH };

struct panel {
    double y[NUMBERS]; /* groups of points; in each, neighbours are the same coordinate of neighbouring points */
    int64_t first_point, first_depth, points, depth;
    bool last; /* no coordinates come after this panel */
};

/* Copy the part of `y` that begins at the given point and coordinate; missing points become zeros. */
static void fill(struct panel *panel, const double *y, int64_t m, int64_t d, int64_t first_point, int64_t first_depth)
{
    int64_t room = NUMBERS / (d < DEPTH ? d : DEPTH) / GROUP * GROUP;
    panel->first_point = first_point;
    panel->first_depth = first_depth;
    panel->depth = d - first_depth < DEPTH ? d - first_depth : DEPTH;
    panel->points = m - first_point < room ? m - first_point : room;
    panel->last = first_depth + panel->depth == d;
    double *target = panel->y;
    for (int64_t group = 0; group < panel->points; group += GROUP) {
        const double *source = y + (first_point + group) * d + first_depth;
        int64_t points = panel->points - group < GROUP ? panel->points - group : GROUP;
        for (int64_t k = 0; k < panel->depth; k++, target += GROUP) {
            for (int64_t j = 0; j < points; j++)
                target[j] = source[j * d + k];
            for (int64_t j = points; j < GROUP; j++)
                target[j] = 0.0;
        }
    }
}

/* Add the panel's sums to the rows of the result; after the last panel, take their roots. */
static void add_rows(double *restrict out, int64_t m, const double *restrict x, int64_t d, int64_t n,
                     const struct panel *restrict panel)
{
    for (int64_t i = 0; i < n; i++, out += m, x += d) {
        const double *restrict y = panel->y;
        for (int64_t group = 0; group < panel->points; group += GROUP) {
            int64_t points = panel->points - group < GROUP ? panel->points - group : GROUP;
            double total[GROUP];
            for (int j = 0; j < GROUP; j++)
                total[j] = 0.0;
            for (int64_t k = 0; k < panel->depth; k++, y += GROUP)
                for (int j = 0; j < GROUP; j++) {
                    double difference = x[k] - y[j];
                    total[j] += difference * difference;
                }
            if (panel->first_depth > 0)
                for (int64_t j = 0; j < points; j++)
                    total[j] += out[group + j];
            if (panel->last)
                for (int j = 0; j < GROUP; j++)
                    total[j] = sqrt(total[j]);
            for (int64_t j = 0; j < points; j++)
                out[group + j] = total[j];
        }
    }
}

/* The distance between each row of `x` (n, d) and each row of `y` (m, d) into `out` (n, m). */
void pairwise_distances(const double *x, const double *y, int64_t n, int64_t m, int64_t d, double *out)
{
    struct panel panel;
    if (d == 0)
        memset(out, 0, (size_t)n * (size_t)m * sizeof *out);
    else
        for (int64_t point = 0; point < m; point += panel.points)
            for (int64_t depth = 0; depth < d; depth += panel.depth) {
                fill(&panel, y, m, d, point, depth);
                add_rows(out + point, m, x + depth, d, n, &panel);
            }
}
