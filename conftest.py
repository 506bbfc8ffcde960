"""Checks every shape and type in the signatures of gridcloze while tests and the examples of docstrings run."""

import doctest

import pytest
from jaxtyping import install_import_hook

install_import_hook("gridcloze", "beartype.beartype")


@pytest.fixture(autouse=True)
def _examples_write_into_a_folder_of_their_own(request, monkeypatch, tmp_path_factory):
    """The examples of docstrings may write files by short names."""
    if isinstance(getattr(request.node, "dtest", None), doctest.DocTest):
        monkeypatch.chdir(tmp_path_factory.mktemp("example"))
