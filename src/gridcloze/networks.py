"""How networks of torch answer as Predictors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from threadpoolctl import threadpool_limits
from torch import nn

from .logits import Calibration, Features, LogitsPredictor
from .shapes import Cells, Marginals
from .words import InputError


class NetworkPredictor(LogitsPredictor):
    """A network of torch as a Predictor: NumPy in, NumPy out.

    Parameters
    ----------
    model
        A network with `n_symbols` that turns tokens (batch, height, width) into logits with an axis for the symbols.
    calibration
        The temperatures that the logits are divided by; all 1 by default.
    precise
        Whether it computes in float32; by default it computes in bfloat16 where that is faster.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.networks import NetworkPredictor
    >>> untrained = NetworkPredictor(Bert(BertConfig(4, 4, n_symbols=2, depth=1)))
    >>> cells, hidden = np.array([[[1, 1]]]), np.array([[[True, False]]])
    >>> untrained.marginals(cells, hidden)
    array([[[[0.5, 0.5],
             [0. , 1. ]]]])
    """

    def __init__(self, model: nn.Module, calibration: Calibration | None = None, precise: bool | None = None):
        super().__init__(cast(int, model.n_symbols), calibration)
        self.pass_cells = max(self.pass_cells, cast(int, getattr(model, "pass_cells", 0)))
        self.model = model.eval()
        self.precise = not bf16_pays() if precise is None else precise

    @torch.inference_mode()
    def logits(self, tokens: Cells, side: Features | None = None) -> Marginals:
        """See `LogitsPredictor.logits`."""
        device = next(self.model.parameters()).device
        with _memory_in_one_line(), torch.autocast(device.type, torch.bfloat16, enabled=not self.precise):
            return self.model(torch.from_numpy(tokens).to(device), **on_device(device, side)).float().cpu().numpy()

    @torch.inference_mode()
    def attention(self, tokens: Cells, side: Features | None = None) -> Float[np.ndarray, "batch layer head query key"]:
        """Return the attention weights of each layer, computed in float32; only for networks such as `Bert`.

        Parameters
        ----------
        tokens
            The symbol of each visible cell, and `n_symbols` for each hidden one.
        side
            The features of the side maps, for a model that has such.

        Returns
        -------
        ndarray
            See `Bert.forward`.
        """
        weights: list[torch.Tensor] = []
        with _memory_in_one_line():
            device = next(self.model.parameters()).device
            self.model(torch.from_numpy(tokens).to(device), weights, **on_device(device, side))
            return torch.stack(weights, dim=1).cpu().numpy()

    @staticmethod
    def start_thread() -> None:
        """Give each of the passes that run at once one core."""
        torch.get_num_threads()  # its first call in a thread sets the number of threads, and would do so later
        threadpool_limits(1, user_api="openmp")


def on_device(device: torch.device, side: Features | None) -> dict[str, torch.Tensor]:
    """Make the argument for the features of side maps.

    Parameters
    ----------
    device
        Of the network.
    side
        The features; None for networks without side maps.

    Returns
    -------
    dict
        Of one tensor, or empty.

    Examples
    --------
    >>> import torch
    >>> from gridcloze.networks import on_device
    >>> on_device(torch.device("cpu"), None)
    {}
    """
    return {} if side is None else {"side": torch.from_numpy(side).to(device)}


@contextmanager
def _memory_in_one_line() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what torch raises for want of memory, too
        if "memory" not in str(error):
            raise
        raise InputError("there is not enough memory for a forward pass on grids of this size") from None


def bf16_pays() -> bool:
    """Tell whether this machine multiplies bfloat16 numbers faster than float32.

    Returns
    -------
    bool
        True on graphics cards and processors with instructions for bfloat16.

    Examples
    --------
    >>> from gridcloze.networks import bf16_pays
    >>> bf16_pays() in (True, False)  # it depends on the machine
    True
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16", "sve_bf16"))
