"""Where questions wait for one of the threads that answer them."""

import json
import os
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from ..words import REPORT, InputError
from .operations import OPERATIONS, Question
from .watching import GoneError, Watch

THREADS = 32  # in which small questions wait for forward passes, which they share
MANY_CELLS = 2**14  # of a large question, which takes memory: few are in work at once


class Job:
    """A question on its way to an answer.

    Parameters
    ----------
    question
        What is asked.
    is_closed
        Whether all work is to end.

    Attributes
    ----------
    answer
        The answer as JSON, or the error, in the future.
    is_gone
        Whether nobody waits for it any more.

    Examples
    --------
    >>> Job.__init__.__annotations__["question"].__name__
    'Question'
    """

    def __init__(self, question: Question, is_closed: Callable[[], bool]):
        self.question, self.is_gone = question, False
        self.answer: Future[bytes] = Future()
        self.watch = Watch(lambda: self.is_gone or is_closed())

    def leave(self) -> None:
        """Say that nobody waits any more: the work ends before its next forward pass."""
        self.is_gone = True


class Desk:
    """Answers questions in threads: many at once that are small, and of large ones as many as there are cores.

    Examples
    --------
    >>> Desk().close()
    """

    def __init__(self) -> None:
        self.small = ThreadPoolExecutor(THREADS, "answers")
        self.large = ThreadPoolExecutor(max(2, os.cpu_count() or 1), "large-answers")
        self.is_closed = False

    def ask(self, question: Question) -> Job:
        """Put a question at the end of the queue.

        Parameters
        ----------
        question
            What is asked.

        Returns
        -------
        Job
            Its answer is in the future.
        """
        job = Job(question, lambda: self.is_closed)
        pool = self.large if question.grid.cells.size > MANY_CELLS else self.small
        pool.submit(_answer, job)
        return job

    def close(self) -> None:
        """End all work before its next forward pass."""
        self.is_closed = True
        for pool in (self.small, self.large):
            pool.shutdown(wait=False, cancel_futures=True)


def _answer(job: Job) -> None:
    try:
        job.watch.go_on()
        answer = OPERATIONS[job.question.operation].run(job.question, job.watch)
        job.answer.set_result(json.dumps(answer, allow_nan=False).encode())
    except Exception as error:
        job.answer.set_exception(_in_a_line(error))


def _in_a_line(error: Exception) -> Exception:
    """The error that a person is told; others are printed, where the server was started."""
    if isinstance(error, InputError | GoneError):
        return error
    if isinstance(error, MemoryError):
        return InputError("not enough memory: give a smaller grid, or ask for less at once")
    with suppress(OSError):
        traceback.print_exception(error, file=sys.stderr)
    return RuntimeError(REPORT)
