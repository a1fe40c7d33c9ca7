/* Hot loops compiled once for each of several instruction sets; the loader takes the best for the machine.

   PARALLEL_DECO_CLONES goes before the return type of a function. It needs GCC 12, which knows the levels of
   x86-64, and the indirect functions of glibc; elsewhere it is empty, and so it is with
   -DPARALLEL_DECO_NO_CLONES. All clones give the same results to the bit, provided that multiplication and
   addition are not fused: -ffp-contract=off. (Only the distances are compiled without that.) */

#ifndef PARALLEL_DECO_DISPATCH_H
#define PARALLEL_DECO_DISPATCH_H

#include <stdlib.h> /* for __GLIBC__ */

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && __GNUC__ >= 12 && \
    !defined(__clang__) && !defined(PARALLEL_DECO_NO_CLONES)
#define PARALLEL_DECO_HAS_CLONES
#define PARALLEL_DECO_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))

/* The same questions in the same order as the resolver that GCC makes for the clones. */
static inline const char *parallel_deco_instruction_set(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) return "x86-64-v4";
    if (__builtin_cpu_supports("x86-64-v3")) return "x86-64-v3";
    return "default";
}
#else
#define PARALLEL_DECO_CLONES

static inline const char *parallel_deco_instruction_set(void) { return "default"; }
#endif

#endif
