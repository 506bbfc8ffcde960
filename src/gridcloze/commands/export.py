"""`gridcloze export`: a model as an ONNX file, or as a page that fills grids."""

from pathlib import Path
from typing import TypedDict, cast

from .. import checkpoint
from ..checkpoint import TrainedPredictor
from ..files.paths import atomic_write, check_writable, only_one, refuse_replacing, remove_leftovers
from ..priors.known import Toy
from ..studio.single import PAGE, PageModel, prior_name, single_file
from ..words import InputError
from .shared import check_prior
from .toy import read_prior


class ExportReport(TypedDict):
    """What `gridcloze export` wrote.

    Attributes
    ----------
    path
        The ONNX file or the page.
    model
        Hash of the model: SHA-256, in hexadecimal digits; the same as that of the model file.
    bytes
        Size of that file in bytes.

    Examples
    --------
    >>> ExportReport(path="model.onnx", model="5eed…", bytes=130810)["path"]
    'model.onnx'
    """

    path: str
    model: str
    bytes: int


def export(model_path: Path, out: Path, overwrite: bool = False, prior_path: Path | None = None) -> ExportReport:
    """Write a model as an ONNX file, which is read without torch, or as a page that fills grids.

    Parameters
    ----------
    model_path
        A model file that `train` wrote; for a page also one that `export` wrote.
    out
        The file to write; its name ends in .onnx, or in .html for a page.
    overwrite
        Whether to replace an older model or page of gridcloze.
    prior_path
        A prior.json of squares, for a page that shows the exact posterior as well; None for one that does not.

    Returns
    -------
    ExportReport
        What was written.

    Raises
    ------
    InputError
        If `model_path` is no model file or is exported already, `out` cannot be written or is somebody's, the page is
        not built, or the prior is not one of squares like the grids of the model.

    Examples
    --------
    >>> export(Path("model.safetensors"), Path("model.onnx"))
    Traceback (most recent call last):
    gridcloze.words.InputError: model.safetensors: no such file; ...
    """
    predictor = checkpoint.load(model_path)
    if prior_path and out.suffix != PAGE:
        raise InputError(f"{out}: a prior is shown by a page alone, whose name ends in {PAGE}")
    check_writable(out)
    with only_one(out):
        remove_leftovers(out.parent)
        refuse_replacing([out], [model_path, prior_path], overwrite)
        if out.suffix == PAGE:
            _write_page(model_path, predictor, out, prior_path)
        else:
            checkpoint.export(out, predictor)
    return {"path": str(out), "model": predictor.header.hash, "bytes": out.stat().st_size}


def _write_page(model_path: Path, predictor: TrainedPredictor, out: Path, prior_path: Path | None) -> None:
    single_file()  # an error before the work is done
    name = None
    if prior_path is not None:
        prior = cast(Toy, read_prior(prior_path, required=True))
        check_prior(prior, prior_path, predictor.size, predictor.n_symbols)
        name = prior_name(prior)
    is_exported = model_path.suffix == checkpoint.EXPORTED
    onnx = model_path.read_bytes() if is_exported else checkpoint.exported(predictor)
    with atomic_write(out) as temporary:
        temporary.write_text(single_file(PageModel(model_path.stem, onnx, name)), encoding="utf-8")
