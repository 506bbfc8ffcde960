"""Memory is bounded before it is taken."""

import os

from .words import InputError


def refuse_beyond_memory(n_bytes: int, what: str) -> None:
    """Refuse what does not fit into the memory of the machine.

    Parameters
    ----------
    n_bytes
        Memory that it needs.
    what
        What needs it, for the error.

    Raises
    ------
    InputError
        When the machine has less.

    Examples
    --------
    >>> refuse_beyond_memory(2**80, "a map")
    Traceback (most recent call last):
    gridcloze.words.InputError: a map: this needs ...
    """
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if n_bytes > there:
        raise InputError(f"{what}: this needs {n_bytes / 2**30:.0f} GiB of memory, and there are {there / 2**30:.0f}")
