"""How much memory there is, so that what does not fit is refused before it is tried; and how much is kept."""

import os
from contextlib import suppress
from pathlib import Path

from .words import InputError

LIMITS_OF_CONTAINERS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
UNLIMITED = 2**62
GLIBC_OPTIONS = ((-1, 2**30), (-2, 2**26), (-3, 2**25))  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, in bytes


def memory_bytes() -> int:
    """Tell how much memory this process may take.

    Returns
    -------
    int
        The least of the machine's memory, the limit of its container and that of the process, in bytes.

    Examples
    --------
    >>> memory_bytes() > 2**20
    True
    """
    limits = [UNLIMITED]
    with suppress(AttributeError, ValueError, OSError):  # where there is no sysconf
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for name in LIMITS_OF_CONTAINERS:
        with suppress(OSError, ValueError):  # no container, or the word "max"
            limits.append(int(Path(name).read_text()))
    with suppress(ImportError, ValueError, OSError):
        import resource  # of Unix

        limits += [limit for limit in resource.getrlimit(resource.RLIMIT_AS) if limit != resource.RLIM_INFINITY]
    return min(limits)


def refuse_beyond_memory(n_bytes: int, what: str) -> None:
    """Refuse work that needs more memory than there is, before it is begun.

    Parameters
    ----------
    n_bytes
        What the work needs.
    what
        The work, as the subject of the message.

    Raises
    ------
    InputError
        When the work needs more than `memory_bytes`.

    Examples
    --------
    >>> refuse_beyond_memory(2**50, "a grid of 16777216 by 16777216 cells")
    Traceback (most recent call last):
    gridcloze.words.InputError: a grid of 16777216 by 16777216 cells needs 1024.0 TiB of memory, and there are ...
    """
    limit = memory_bytes()
    if n_bytes > limit:
        raise InputError(f"{what} needs {in_words(n_bytes)} of memory, and there are {in_words(limit)}")


def in_words(n_bytes: int) -> str:
    """Write a number of bytes for people.

    Parameters
    ----------
    n_bytes
        The number.

    Returns
    -------
    str
        In KiB, MiB, GiB or TiB, with one decimal.

    Examples
    --------
    >>> in_words(3 * 2**29)
    '1.5 GiB'
    """
    power = min(max(1, (int(n_bytes).bit_length() - 1) // 10), 4)
    return f"{n_bytes / 2 ** (10 * power):.1f} {'KMGT'[power - 1]}iB"


def keep_freed_memory() -> None:
    """Let the C library keep what a forward pass frees for the next one; only glibc can.

    Getting the memory anew took a tenth of a training step (LOG.md).

    Examples
    --------
    >>> keep_freed_memory()  # up to 1 GiB
    """
    import ctypes  # not needed for --help

    with suppress(OSError, AttributeError, TypeError):  # where the library is no glibc
        for name, value in GLIBC_OPTIONS:
            ctypes.CDLL(None).mallopt(name, value)
