/* The loop of pi.pyx by hand for AVX2, which multiplies 32 bits by 32 but not 64 by 64.

   The compiler's own clone multiplies all of both factors of x * (x + 1), for it does not see that these have 32 bits:
   half of the time went into that. With AVX-512, which multiplies 64 bits, and without vectors the plain loop is best. */

#ifndef PARALLEL_DECO_POINTS_H
#define PARALLEL_DECO_POINTS_H

#include <stdint.h>

#include "dispatch.h"

#ifdef PARALLEL_DECO_HAS_CLONES

typedef uint64_t parallel_deco_lanes __attribute__((vector_size(32)));
#define PARALLEL_DECO_AVX2 static inline __attribute__((target("avx2"), always_inline))

/* Each lane as two of 32 bits, and as GCC's own functions take them. */
typedef uint32_t parallel_deco_halves __attribute__((vector_size(32)));
typedef int parallel_deco_ints __attribute__((vector_size(32)));

/* The lower halves of each lane of both, multiplied. */
PARALLEL_DECO_AVX2 parallel_deco_lanes parallel_deco_low(parallel_deco_lanes a, parallel_deco_lanes b)
{
    return (parallel_deco_lanes)__builtin_ia32_pmuludq256((parallel_deco_ints)a, (parallel_deco_ints)b);
}

/* Each lane times a number, modulo 2**64: the lower halves, and what each lower half and a higher one add above. */
PARALLEL_DECO_AVX2 parallel_deco_lanes parallel_deco_times(parallel_deco_lanes a, uint64_t factor)
{
    const parallel_deco_lanes zero = {0, 0, 0, 0};
    const parallel_deco_lanes swapped = zero + (factor << 32 | factor >> 32);
    const parallel_deco_halves across = (parallel_deco_halves)a * (parallel_deco_halves)swapped;
    const parallel_deco_halves above = across + (parallel_deco_halves)((parallel_deco_lanes)across >> 32);
    return parallel_deco_low(a, zero + factor) + ((parallel_deco_lanes)above << 32);
}

/* How many of so many points, a multiple of 4, whose counters begin with the given one, are outside the disc. */
static __attribute__((target("avx2"), noinline)) uint64_t parallel_deco_outside(
    uint64_t counter, uint64_t step, uint64_t samples)
{
    parallel_deco_lanes lanes = {counter, counter + step, counter + 2 * step, counter + 3 * step};
    parallel_deco_lanes outside = {0, 0, 0, 0}, bits, x, y;
    for (uint64_t i = 0; i < samples; i += 4) {
        bits = parallel_deco_times(lanes ^ lanes >> 30, 0xBF58476D1CE4E5B9);
        bits = parallel_deco_times(bits ^ bits >> 27, 0x94D049BB133111EB);
        x = bits >> 33;
        y = (parallel_deco_lanes)((parallel_deco_halves)(bits ^ bits >> 31) >> 1); /* the lower half counts */
        outside += (parallel_deco_low(x, x + 1) + parallel_deco_low(y, y + 1)) >> 62;
        lanes += 4 * step;
    }
    return outside[0] + outside[1] + outside[2] + outside[3];
}

static inline int parallel_deco_has_only_avx2(void)
{
    return !__builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("x86-64-v3");
}

#else

static inline uint64_t parallel_deco_outside(uint64_t counter, uint64_t step, uint64_t samples)
{
    (void)counter, (void)step, (void)samples;
    return 0;
}

static inline int parallel_deco_has_only_avx2(void) { return 0; }

#endif

#endif
