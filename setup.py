"""Extension modules only; everything else is in pyproject.toml."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

# A debug build turns Cython's safety checks on: PARALLEL_DECO_DEBUG=1 pip install .
DEBUG = os.environ.get("PARALLEL_DECO_DEBUG", "") not in ("", "0")
# Square roots need no errno to vectorise.
COMPILE = ["/O2"] if os.name == "nt" else ["-O3", "-g0", "-fno-math-errno"]
# No fused multiply-add where every instruction set must give the same to the bit. The distances promise a tolerance.
EXACT, FUSED = ([], []) if os.name == "nt" else (["-ffp-contract=off"], ["-ffp-contract=fast"])
INCLUDE = ["kernels", "parallel_deco"]


def extension(package: str, source: Path) -> Extension:
    """Describe the extension module that a source becomes."""
    options = [*COMPILE, *(FUSED if source.stem == "distances" else EXACT)]
    return Extension(f"{package}.{source.stem}", [source.as_posix()], include_dirs=INCLUDE, extra_compile_args=options)


setup(
    ext_modules=cythonize(
        [
            *(extension("parallel_deco", source) for source in sorted(Path("parallel_deco").glob("*.pyx"))),
            *(extension("parallel_deco.kernels", source) for source in sorted(Path("kernels").glob("*.pyx"))),
        ],
        include_path=["kernels"],
        compiler_directives={"boundscheck": DEBUG, "initializedcheck": DEBUG},
        show_all_warnings=False,
    )
)
