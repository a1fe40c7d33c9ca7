"""``python -m parallel_deco``: the command line."""

import sys

from parallel_deco._cli import main

if __name__ == "__main__":
    sys.exit(main())
