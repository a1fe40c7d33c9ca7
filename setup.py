"""Extension modules only; everything else is in pyproject.toml."""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

# A debug build turns Cython's safety checks on: PARALLEL_DECO_DEBUG=1 pip install .
DEBUG = os.environ.get("PARALLEL_DECO_DEBUG", "") not in ("", "0")
COMPILE = ["/O2"] if os.name == "nt" else ["-O3", "-g0"]

GROUND = ("_results", "_sampler")
KERNELS = ("distances", "mandelbrot", "pi", "primes")


def extension(name: str, source: str) -> Extension:
    return Extension(name, [source], include_dirs=["kernels", "parallel_deco"], extra_compile_args=COMPILE)


setup(
    ext_modules=cythonize(
        [
            *(extension(f"parallel_deco.{name}", f"parallel_deco/{name}.pyx") for name in GROUND),
            *(extension(f"parallel_deco.kernels.{name}", f"kernels/{name}.pyx") for name in KERNELS),
        ],
        include_path=["kernels"],
        compiler_directives={"boundscheck": DEBUG, "initializedcheck": DEBUG},
        show_all_warnings=False,
    )
)
