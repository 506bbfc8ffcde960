"""What several tests share."""

import ctypes
import logging
import sys
from contextlib import contextmanager

import jaxtyping
import pytest


@pytest.fixture(scope="session")
def small_bert():
    """A Bert with random weights everywhere, for 5×5 grids of two symbols."""
    import torch

    from gridcloze.bert import Bert, BertConfig

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Bert(BertConfig(5, 5, 2, depth=2, patch=2))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture(scope="session")
def small_predictor(small_bert):
    from gridcloze.networks import NetworkPredictor

    return NetworkPredictor(small_bert)


@pytest.fixture(scope="session")
def exporting():
    """A context in which models can be exported, whose sizes are symbols, which type checks refuse."""

    @contextmanager
    def unchecked():
        jaxtyping.config.update("jaxtyping_disable", True)
        logging.disable()  # pytest would keep thousands of records
        try:
            yield
        finally:
            jaxtyping.config.update("jaxtyping_disable", False)
            logging.disable(logging.NOTSET)

    return unchecked


def run(capsys, monkeypatch, *arguments):
    """Exit code, stdout and stderr of a command."""
    from gridcloze.cli import main

    monkeypatch.setattr(sys, "argv", ["gridcloze", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return ended.value.code or 0, said.out, said.err


@pytest.fixture
def gridcloze(capsys, monkeypatch, tmp_path):
    """Runs a command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run(capsys, monkeypatch, *arguments)


@pytest.fixture
def mallopt_calls(monkeypatch):
    """Collects what the C library is asked to set for the whole process."""
    calls = []

    class Watched(ctypes.CDLL):
        def __getattr__(self, name):
            return (lambda *options: calls.append(options)) if name == "mallopt" else super().__getattr__(name)

    monkeypatch.setattr(ctypes, "CDLL", Watched)
    return calls
