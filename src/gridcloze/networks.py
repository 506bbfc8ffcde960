"""What all networks of torch share: how they answer as Predictors, and what the machine does well."""

from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from threadpoolctl import threadpool_limits
from torch import nn

from .logits import Calibration, LogitsPredictor
from .shapes import Cells, Marginals


class NetworkPredictor(LogitsPredictor):
    """A trained network with `n_symbols`, tokens in and logits out, as a Predictor: NumPy in, NumPy out.

    It computes in bfloat16 where that is faster, or in float32 if it is to be `precise`.
    """

    def __init__(self, model: nn.Module, calibration: Calibration | None = None, precise: bool | None = None):
        super().__init__(cast(int, model.n_symbols), calibration)
        self.pass_cells = max(self.pass_cells, cast(int, getattr(model, "pass_cells", 0)))
        self.model = model.eval()
        self.precise = not bf16_pays() if precise is None else precise

    @torch.inference_mode()
    def logits(self, tokens: Cells) -> Marginals:
        """See `LogitsPredictor.logits`."""
        device = next(self.model.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=not self.precise):
            return self.model(torch.from_numpy(tokens).to(device)).float().cpu().numpy()

    @torch.inference_mode()
    def attention(self, tokens: Cells) -> Float[np.ndarray, "batch layer head query key"]:
        """The attention weights of each layer, in float32, of a network that has them; see `Bert.forward`."""
        weights: list[torch.Tensor] = []
        self.model(torch.from_numpy(tokens).to(next(self.model.parameters()).device), weights)
        return torch.stack(weights, dim=1).cpu().numpy()

    @staticmethod
    def start_thread() -> None:
        """Passes that run beside each other have one core each."""
        torch.get_num_threads()  # sets the number of this thread's threads, at first, and would do so later
        threadpool_limits(1, user_api="openmp")


def bf16_pays() -> bool:
    """Whether this machine multiplies bfloat16 numbers faster than float32."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16", "sve_bf16"))
