"""What a command that computes sets for its whole process; a library may not set it for somebody's notebook."""

import os

SPIN_COUNT = "1000"  # of threads that wait: next to other work a training is three times as fast with it (LOG.md)
GLIBC_OPTIONS = ((-1, 2**30), (-2, 2**26), (-3, 2**25))  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, in bytes


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


def keep_freed_memory() -> None:
    """Let the C library keep what a forward pass frees for the next one; only glibc can.

    Getting the memory anew took a tenth of a training step (LOG.md).

    Examples
    --------
    >>> keep_freed_memory()  # up to 1 GiB
    """
    import contextlib
    import ctypes  # not needed for --help

    with contextlib.suppress(OSError, AttributeError, TypeError):  # where the library is no glibc
        for name, value in GLIBC_OPTIONS:
            ctypes.CDLL(None).mallopt(name, value)
