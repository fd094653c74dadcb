"""Keep the recursion limit while libraries are imported that raise it.

py-evm and web3 import ``py_ecc``, which raises the limit of the whole process to 100,000.  From
then on a deeply nested JSON text no longer raises RecursionError in ``json.loads`` but overruns the
C stack and ends the process (seen on CPython 3.11 with a stack of 8 MiB).  What this room asks of
the two libraries does not need the depth.
"""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def kept_recursion_limit() -> Iterator[None]:
    """Restore the recursion limit afterwards."""
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
