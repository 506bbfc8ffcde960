"""Muon: momentum whose steps are made orthogonal."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer


class Muon(Optimizer):
    """Momentum whose steps are made orthogonal, so that all directions of a matrix learn.

    Parameters
    ----------
    groups
        Parameter groups as every optimizer of torch takes them, of matrices only: "params" and "lr", and
        "weight_decay" if not 0.
    momentum
        The share of the running mean of gradients that each step keeps.

    Notes
    -----
    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon, with the step size of arXiv:2502.16982, eq. 4. The
    rule is that of `torch.optim.Muon` with `match_rms_adamw`; matrices of one shape are treated as
    one batch, which makes it 2.7 times as fast on small ones (LOG.md).

    Examples
    --------
    >>> import torch
    >>> from gridcloze.muon import Muon
    >>> matrix = torch.nn.Parameter(torch.zeros(2, 2))
    >>> matrix.grad = torch.tensor([[5.0, 0.0], [0.0, 1.0]])
    >>> Muon([{"params": [matrix], "lr": 1.0}]).step()
    >>> matrix.detach()
    tensor([[-0.1956,  0.0000],
            [ 0.0000, -0.2320]])
    """

    def __init__(self, groups: list[dict[str, Any]], momentum: float = 0.9):
        super().__init__(groups, {"momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change all matrices by one step.

        Parameters
        ----------
        closure
            Not used; optimizers of torch take it.
        """
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                by_shape.setdefault(parameter.shape, []).append(parameter)
            for same_shape in by_shape.values():
                if group["weight_decay"]:
                    for parameter in same_shape:
                        parameter.mul_(1 - group["lr"] * group["weight_decay"])
                self._step_together(same_shape, group["lr"], group["momentum"])

    def _step_together(self, parameters: list[Tensor], learning_rate: float, momentum: float) -> None:
        directions = []
        for parameter in parameters:
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            mean = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
            directions.append(gradient.lerp(mean.lerp_(gradient, 1 - momentum), momentum))
        steps = orthogonalised(torch.stack(directions))
        size = 0.2 * max(steps.shape[1:]) ** 0.5  # the root mean square of an AdamW step
        for parameter, step in zip(parameters, steps, strict=True):
            parameter.add_(step, alpha=-learning_rate * size)


def orthogonalised(matrices: Float[Tensor, "matrix row column"]) -> Float[Tensor, "matrix row column"]:
    """Return the orthogonal factor of each matrix, roughly: five steps of a quintic Newton–Schulz iteration.

    Parameters
    ----------
    matrices
        Matrices of one shape.

    Returns
    -------
    Tensor
        Matrices with the same singular vectors, whose singular values are about 0.7…1.2.

    Examples
    --------
    >>> import torch
    >>> from gridcloze.muon import orthogonalised
    >>> orthogonalised(torch.tensor([[[5.0, 0.0], [0.0, 1.0]]]))
    tensor([[[0.6914, 0.0000],
             [0.0000, 0.8203]]])
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).bfloat16().contiguous()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.mT if tall else x).to(matrices.dtype)
