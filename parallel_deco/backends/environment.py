"""The environment of worker processes."""

from collections.abc import Mapping

__all__ = ["for_workers"]

#: P workers shall use P cores. Libraries read these when they are loaded, so they must stay in the environment.
THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def for_workers(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's environment with one BLAS and OpenMP thread each, where the user set none."""
    return {**dict.fromkeys(THREAD_LIMITS, "1"), **environment}
