"""What a command that computes sets for its whole process; a library may not set it for somebody's notebook."""

import os

from ..memory import keep_freed_memory

SPIN_COUNT = "1000"  # of threads that wait: next to other work a training is three times as fast with it (LOG.md)


def tune_process() -> None:
    """Set up memory and threads of this process for computing, before torch is loaded.

    An environment variable `GOMP_SPINCOUNT` that is set already stays as it is.

    Examples
    --------
    >>> import os
    >>> tune_process()
    >>> "GOMP_SPINCOUNT" in os.environ
    True
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # is read when torch is loaded
    keep_freed_memory()
