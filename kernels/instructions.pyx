# cython: language_level=3, wraparound=False, cdivision=True, freethreading_compatible=True
"""Which of their clones the kernels run: there is one for each of several instruction sets (`dispatch.h`)."""

from dispatch cimport parallel_deco_instruction_set

__all__ = ["instruction_set"]


def instruction_set():
    """Name the instruction set whose clones the kernels run on this machine.

    Returns
    -------
    str
        "x86-64-v4" (AVX-512), "x86-64-v3" (AVX2), or "default", for which they were built in the first place: also where
        the compiler or the C library knows no clones.

    Notes
    -----
    The choice was made when the kernels were loaded, for all threads. It changes their speed and no result, but for
    the last digits of distances.

    Examples
    --------
    >>> instruction_set() in ("x86-64-v4", "x86-64-v3", "default")
    True
    """
    return parallel_deco_instruction_set().decode("ascii")
