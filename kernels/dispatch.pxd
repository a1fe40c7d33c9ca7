# Declarations of dispatch.h: `cdef cloned f(...)` is a void function that is compiled in several clones.

cdef extern from "dispatch.h" nogil:
    ctypedef void cloned "PARALLEL_DECO_CLONES void"
    const char* parallel_deco_instruction_set()
