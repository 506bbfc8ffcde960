"""The page of the studio in one file with its models: opened from disk, mailed, or put on any web server."""

import base64
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

from ..priors.known import Toy
from ..words import InputError

BUILT = Path(__file__).parent / "built"  # what `npm run build` in page/ writes, and a wheel carries
PAGE = ".html"  # how names of pages end
NO_MODELS = '<script type="application/json" id="gridcloze-models">[]</script>'


@dataclass(frozen=True)
class PageModel:
    """A model that a page carries.

    Parameters
    ----------
    name
        What the page calls it.
    onnx
        The bytes of a file that `gridcloze export` wrote.
    prior
        The prior of its examples, as `prior_name` gives it; None if the exact posterior is not to be shown.

    Examples
    --------
    >>> PageModel("squares", b"", prior="squares 16x16 3..12").prior
    'squares 16x16 3..12'
    """

    name: str
    onnx: bytes
    prior: str | None = None


def single_file(*models: PageModel) -> str:
    """Make a page that needs no other file and no network.

    Parameters
    ----------
    *models
        The models that it carries; more can be dropped on it.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    InputError
        If the page is not built.

    Examples
    --------
    >>> page = single_file(PageModel("squares", b"..."))  # doctest: +SKIP
    """
    text = packed(*models)
    return built_file("single.html").read_text(encoding="utf-8").replace(NO_MODELS, NO_MODELS.replace("[]", text), 1)


def packed(*models: PageModel) -> str:
    """Write models as the script of the page reads them.

    Parameters
    ----------
    *models
        The models.

    Returns
    -------
    str
        JSON that can stand in a script.

    Examples
    --------
    >>> packed(PageModel("squares", b""))[:30]
    '[{"name": "squares", "onnx": "'
    """
    entries = [{"name": model.name, "onnx": _zipped(model.onnx), "prior": model.prior} for model in models]
    return json.dumps(entries).replace("<", "\\u003c")  # nothing in it ends the script


def _zipped(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def built_file(name: str) -> Path:
    """Find a part of the built page.

    Parameters
    ----------
    name
        Its path in the folder that the build writes.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the page is not built.

    Examples
    --------
    >>> built_file("none.html")
    Traceback (most recent call last):
    gridcloze.words.InputError: the page of the studio is not built: ...
    """
    if not (BUILT / name).is_file():
        raise InputError(
            "the page of the studio is not built: run `make page` in a clone of gridcloze, which needs npm"
        )
    return BUILT / name


def prior_name(prior: Toy) -> str:
    """Name a prior whose exact posterior the page computes itself.

    Parameters
    ----------
    prior
        A prior of squares.

    Returns
    -------
    str
        What `PageModel.prior` takes.

    Raises
    ------
    InputError
        For any other prior.

    Examples
    --------
    >>> from gridcloze.priors import Mirror, squares
    >>> prior_name(squares(16, 16))
    'squares 16x16 3..12'
    >>> prior_name(Mirror(3, 3))
    Traceback (most recent call last):
    gridcloze.words.InputError: the page knows the exact posterior of plain squares only, not of mirror
    """
    spec = prior.spec or {"name": "other grids"}
    if spec["name"] != "squares" or spec["outline"] or spec["inverted"]:
        raise InputError(f"the page knows the exact posterior of plain squares only, not of {spec['name']}")
    return "squares {height}x{width} {smallest}..{largest}".format(**spec)
