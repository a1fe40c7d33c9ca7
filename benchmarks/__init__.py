"""This library measured beside its peers: `python -m benchmarks.report`, or `pytest benchmarks --benchmark-only`."""

import sys
from pathlib import Path

# Worker processes of other libraries get this path, and find the functions that they are to call at its end. What is
# installed comes first: it is measured, not the source tree, which has no compiled modules.
_root = str(Path(__file__).resolve().parent.parent)
sys.path[:] = [entry for entry in sys.path if entry not in ("", _root)] + [_root]
