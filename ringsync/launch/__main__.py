"""Lets `python -m ringsync.launch` stand for `ringsyncrun`; holds no logic of its own."""

import sys

from ringsyncrun import main

if __name__ == "__main__":
    sys.exit(main())
