"""Instruction sets: the kernels as they run here, and as they run on any machine, give the same results.

    python tests/stress/instruction_sets.py [--flags="-march=x86-64"]

Builds the checkout once more without clones (-DPARALLEL_DECO_NO_CLONES and the given flags), so that only the code for
every machine is left, makes the same calls of both, whole and in pieces, and compares: counts and pi to the bit,
distances within the error that their docstring names. Takes a minute, most of it for the compiler. Ends with exit
status 1 when a result differs.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]

#: Run by both; what comes out is a file of arrays.
PROGRAM = """
import sys
import numpy as np
from parallel_deco import kernels

chance = np.random.default_rng(1)
found = {"set": np.array(kernels.instruction_set())}

for number, (start, length) in enumerate([(0, 10**7), (10**9, 10**7), (10**12, 10**6), (10**15, 10**5)]):
    found[f"primes {number}"] = whole = np.array(kernels.count_primes(start, start + length))
    for pieces in (2, 7, 64):
        parts = [kernels.count_primes(*part) for part in kernels.split(start, start + length, pieces)]
        assert sum(parts) == whole, "pieces have other primes"

for number in range(20):
    x, y, size = chance.uniform(-2, 0.4), chance.uniform(-1.1, 1.1), 10 ** chance.uniform(-9, 0.3)
    found[f"mandelbrot {number}"] = kernels.mandelbrot(x, x + size, y, y + size, 97, 61, 1500)
found["mandelbrot, whole"] = whole = kernels.mandelbrot(-2.0, 1.0, -1.5, 1.5, 192, 192, 500)
for pieces in (3, 64):  # the step is a short binary fraction
    bands = [
        kernels.mandelbrot(-2.0, 1.0, -1.5 + a / 64, -1.5 + b / 64, 192, b - a, 500)
        for a, b in kernels.split(0, 192, pieces)
    ]
    assert np.array_equal(np.concatenate(bands), whole), "bands make another picture"

for samples in (1, 2, 3, 5, 17, 1000, 10**6 + 3):
    for seed in (0, 1, 2**40 + 7):
        found[f"pi {samples} {seed}"] = np.array(kernels.monte_carlo_pi(samples, seed))

for n, m, d in [(1, 1, 1), (7, 33, 3), (65, 31, 16), (40, 100, 64), (33, 65, 129), (20, 500, 700)]:
    x, y = chance.standard_normal((n, d)), chance.standard_normal((m, d))
    whole = kernels.pairwise_distances(x, y)
    found[f"distances {n} {m} {d}"] = whole
    for pieces in (2, 5):
        bands = [kernels.pairwise_distances(x[a:b], y) for a, b in kernels.split(0, n, pieces)]
        assert np.array_equal(np.concatenate(bands), whole), "pieces give other distances"

np.savez(sys.argv[1], **found)
"""


def build(folder: Path, flags: str) -> None:
    """Install the checkout into a folder, with the code for every machine alone."""
    print("building without clones ...", flush=True)
    source = folder.with_name("source")  # what was compiled in the checkout with other flags would be used again
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "*.c", "*.so"))
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), str(source)]
    subprocess.run(command, env=os.environ | {"CFLAGS": f"-DPARALLEL_DECO_NO_CLONES {flags}"}, check=True)


def results(file: Path, path: Path | None = None) -> dict[str, np.ndarray]:
    """Return what the kernels give, of this environment or of the folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    subprocess.run(
        [sys.executable, "-", str(file)], input=PROGRAM, text=True, cwd=file.parent, env=environment, check=True
    )
    return dict(np.load(file))


def error(name: str) -> float:
    """Return by how much two results may differ, in relation to them: each has the error of the docstring."""
    if not name.startswith("distances"):
        return 0.0
    return 2 * (34 + int(name.split()[-1]) / 128) * 2.2e-16


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--flags", default="", help="more flags for the compiler")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="parallel_deco-sets-") as name:
        folder = Path(name)
        build(folder / "plain", arguments.flags)
        here, plain = results(folder / "here.npz"), results(folder / "plain.npz", folder / "plain")
    sets = str(here.pop("set")), str(plain.pop("set"))
    print(f"comparing {sets[0]} with {sets[1]}: {len(here)} results")
    different = [
        name
        for name, ours in here.items()
        if not np.all(np.abs(ours - plain[name]) <= error(name) * np.abs(plain[name]))
    ]
    last = max(float(np.max(np.abs(here[name] / plain[name] - 1))) for name in here if name.startswith("distances"))
    print(f"distances differ by {last:.1e} at most")
    for name in different:
        print("DIFFERENT:", name)
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
