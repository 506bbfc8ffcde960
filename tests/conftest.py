"""Checks every shape and type in the signatures of gridcloze while the tests run."""

from jaxtyping import install_import_hook

install_import_hook("gridcloze", "beartype.beartype")
