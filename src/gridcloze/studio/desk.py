"""Where questions wait for one of a few threads; those that can be answered together are."""

import json
import os
import sys
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from ..words import InputError
from .operations import OPERATIONS, Question
from .watching import GoneError, Watch

TOGETHER = 64  # questions at most
BUG = "this is a bug of gridcloze: please report it to its authors, with what the server printed"


class Job:
    """A question on its way to an answer.

    Parameters
    ----------
    question
        What is asked.

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

    def __init__(self, question: Question):
        self.question, self.is_gone = question, False
        self.answer: Future[bytes] = Future()
        self.watch = Watch(lambda: self.is_gone)

    def leave(self) -> None:
        """Say that nobody waits any more: the work ends before its next forward pass."""
        self.is_gone = True


class Desk:
    """Answers questions in a few threads.

    Parameters
    ----------
    threads
        How many; by default one for each core, and 2 at least, so that a long question does not stop short ones.

    Examples
    --------
    >>> Desk(threads=1).close()
    """

    def __init__(self, threads: int | None = None):
        self.pool = ThreadPoolExecutor(threads or max(2, os.cpu_count() or 1), "answers")
        self.lock, self.waiting = threading.Lock(), dict[tuple[Any, ...], list[Job]]()
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
        job = Job(question)
        with self.lock:
            self.waiting.setdefault(question.key, []).append(job)
        self.pool.submit(self._answer_waiting, question.key)
        return job

    def close(self) -> None:
        """End all work before its next forward pass."""
        self.is_closed = True
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _answer_waiting(self, key: tuple[Any, ...]) -> None:
        """Answer what waits with a key; the turns of those that were taken along find nothing."""
        with self.lock:
            jobs = self.waiting.pop(key, [])
            if len(jobs) > TOGETHER:
                self.waiting[key], jobs = jobs[TOGETHER:], jobs[:TOGETHER]
        if jobs := [job for job in jobs if not job.is_gone]:
            self._answer(jobs)

    def _answer(self, jobs: list[Job]) -> None:
        watch = Watch(lambda: self.is_closed or all(job.is_gone for job in jobs))
        for job in jobs:
            job.watch = watch
        try:
            run = OPERATIONS[jobs[0].question.operation].run
            for job, answer in zip(jobs, run([job.question for job in jobs], watch), strict=True):
                job.answer.set_result(json.dumps(answer, allow_nan=False).encode())
        except GoneError as gone:
            for job in jobs:
                job.answer.set_exception(gone)
        except Exception as error:
            left = [job for job in jobs if not job.answer.done()]
            if len(jobs) == 1:
                left[0].answer.set_exception(_in_a_line(error))
            else:  # what one of them did must not harm the others
                for job in left:
                    self._answer([job])


def _in_a_line(error: Exception) -> Exception:
    """The error that a person is told; others are printed, where the server was started."""
    if isinstance(error, InputError):
        return error
    if isinstance(error, MemoryError):
        return InputError("not enough memory: give a smaller grid, or ask for less at once")
    with suppress(OSError):
        traceback.print_exception(error, file=sys.stderr)
    return RuntimeError(BUG)
