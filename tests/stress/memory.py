"""Memory: many maps of large arrays leave no trace, and neither does a program that is killed in the middle of one.

    python tests/stress/memory.py [--maps 1000] [--megabytes 64]

The first part maps over large arrays again and again, and compares the resident memory of this process and of its
workers after the tenth map with that after the last. The second starts a program that does the same, kills it
(SIGKILL), and a second later looks for its workers, for names in /dev/shm, and for shared memory that is still in use.
Ends with exit status 1 when anything was left.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from parallel_deco import parallel, shutdown

#: Arrays by which resident memory may differ, for it is chance how many are under way at once; the same for the caller
#: and for the workers together.
SLACK = 3
#: The map after which memory is to stay as it is.
SETTLED = 10

VICTIM = """
import numpy as np
from parallel_deco import parallel
def negate(array):
    return -array
block = np.ones({count})
for number, result in enumerate(parallel(negate, backend="processes", max_workers=2).map(block for _ in iter(int, 1))):
    if number == 4:
        print("working", flush=True)
"""


def negate(array):
    """Give a large array for a large array."""
    return -array


def resident(pid):
    """Return the resident bytes of a process, shared memory included."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def children(pid):
    """Return the processes below a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


def runs(pid):
    """Whether a process is there and is not dead, though nobody may have asked for its status yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def shared_memory():
    """Return the bytes of shared memory that the whole system uses; memfds are among it."""
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("Shmem:"))
    return int(line.split()[1]) * 1024


def many_maps(maps, megabytes):
    """Return whether resident memory is, after many maps, what it was after a few."""
    function = parallel(negate, backend="processes", max_workers=2)
    arrays = [np.full(megabytes << 17, float(number)) for number in range(4)]
    settled = {}
    for number in range(maps):
        for array, result in zip(arrays, function.map(arrays), strict=True):
            assert result[0] == result[-1] == -array[0]
        del array, result
        now = {"caller": resident(os.getpid()), "workers": sum(map(resident, children(os.getpid())))}
        if number + 1 == SETTLED:
            settled = now
        if number + 1 in (1, SETTLED, maps) or not (number + 1) % 100:
            print(f"after {number + 1:5} maps: " + ", ".join(f"{who} {size / 1e6:.0f} MB" for who, size in now.items()))
    shutdown()
    return all(now[who] <= settled[who] + SLACK * (megabytes << 20) for who in now)


def killed(megabytes):
    """Return whether nothing is left a second after a program was killed in the middle of a map of arrays."""
    names, before = sorted(os.listdir("/dev/shm")), shared_memory()
    program = subprocess.Popen(
        # -P: the package that is installed, and not the sources in the current directory
        [sys.executable, "-P", "-c", VICTIM.format(count=megabytes << 17)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout.readline() == "working\n"
    workers, during = children(program.pid), shared_memory()
    program.send_signal(signal.SIGKILL)
    program.wait()
    time.sleep(1)
    alive = [pid for pid in workers if runs(pid)]
    after = shared_memory()
    print(
        f"killed: {len(alive)} of {len(workers)} processes alive; shared memory {before / 1e6:.0f} MB before,"
        f" {during / 1e6:.0f} MB during, {after / 1e6:.0f} MB after"
    )
    return len(workers) >= 3 and not alive and sorted(os.listdir("/dev/shm")) == names and after <= before + (8 << 20)


def main():
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=1000)
    parser.add_argument("--megabytes", type=int, default=64)
    options = parser.parse_args()
    fine = [killed(options.megabytes), many_maps(options.maps, options.megabytes)]
    print("nothing left" if all(fine) else "something is left")
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
