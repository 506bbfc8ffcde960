"""The rivals: convolutional networks, one with a receptive field to choose, three that see the whole grid."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..words import InputError

PARAMETERS = 200_000  # of each network, about; the BERT of 6 layers × 64 has as many
MOST_CHANNELS = 128
LEVELS = 3  # of the U-Net
Features = Float[Tensor, "batch channel height width"]


class Cnn(nn.Module):
    """Tokens in, logits out, and layers of convolutions between. Beyond the edge of the grid there are zeros.

    Parameters
    ----------
    n_symbols
        The number of symbols.
    channels
        The numbers that represent a cell.
    layers
        Modules that keep the shape (batch, channel, height, width).
    receptive_field
        The side of the window of cells that can change the prediction for the cell in its middle; None if that is the
        whole grid.

    Examples
    --------
    >>> import torch
    >>> from gridcloze.study.cnn import residual
    >>> network = residual(n_symbols=2, receptive_field=5, channels=8)
    >>> network(torch.tensor([[[0, 1, 2, 2]]])).shape
    torch.Size([1, 1, 4, 2])
    """

    def __init__(self, n_symbols: int, channels: int, layers: list[nn.Module], receptive_field: int | None):
        super().__init__()
        self.n_symbols, self.receptive_field = n_symbols, receptive_field
        self.token_to_features = nn.Embedding(n_symbols + 1, channels)
        self.layers = nn.Sequential(*layers)
        self.before_output = nn.LayerNorm(channels)
        self.features_to_logits = nn.Linear(channels, n_symbols)
        for parameter in self.features_to_logits.parameters():  # training starts from a uniform distribution
            nn.init.zeros_(parameter)

    def hidden_matrices(self) -> list[nn.Parameter]:
        """Return the kernels, stored as matrices, which Muon trains as it trains those of the BERT.

        Returns
        -------
        list of Parameter
            All matrices of the layers.
        """
        return [parameter for parameter in self.layers.parameters() if parameter.ndim == 2]

    def forward(self, tokens: Int[Tensor, "batch height width"]) -> Float[Tensor, "batch height width symbol"]:
        """See `Bert.forward`."""
        return self._from_features(self.token_to_features(tokens))

    def from_one_hot(
        self, one_hot: Float[Tensor, "batch height width token"]
    ) -> Float[Tensor, "batch height width symbol"]:
        """See `Bert.from_one_hot`."""
        return self._from_features(one_hot @ self.token_to_features.weight)

    def _from_features(
        self, features: Float[Tensor, "batch height width channel"]
    ) -> Float[Tensor, "batch height width symbol"]:
        features = self.layers(features.movedim(-1, 1))
        return self.features_to_logits(self.before_output(features.movedim(1, -1)))


def residual(n_symbols: int, receptive_field: int, channels: int) -> Cnn:
    """Build a residual network of 3×3 convolutions, as many as make the receptive field.

    Parameters
    ----------
    n_symbols
        The number of symbols.
    receptive_field
        The side of the receptive field, in cells: an odd number from 3.
    channels
        The numbers that represent a cell.

    Returns
    -------
    Cnn
        The network, not trained.

    Raises
    ------
    InputError
        If the receptive field is even, or below 3.

    Examples
    --------
    >>> from gridcloze.study.cnn import residual
    >>> len(residual(n_symbols=2, receptive_field=9, channels=8).layers)
    4
    """
    if receptive_field < 3 or receptive_field % 2 == 0:
        raise InputError(f"a receptive field is an odd number of cells from 3, not {receptive_field}")
    layers: list[nn.Module] = [_Residual(channels) for _ in range(receptive_field // 2)]
    return Cnn(n_symbols, channels, layers, receptive_field)


def dilated(n_symbols: int, channels: int) -> Cnn:
    """Build a network whose convolutions reach farther from layer to layer, up to 16 cells.

    Parameters
    ----------
    n_symbols
        The number of symbols.
    channels
        The numbers that represent a cell.

    Returns
    -------
    Cnn
        The network, not trained.

    Notes
    -----
    Yu and Koltun 2016, arXiv:1511.07122.

    Examples
    --------
    >>> from gridcloze.study.cnn import dilated
    >>> dilated(n_symbols=2, channels=8).receptive_field
    65
    """
    dilations = (1, 2, 4, 8, 16, 1)
    layers: list[nn.Module] = [_Residual(channels, dilation) for dilation in dilations]
    return Cnn(n_symbols, channels, layers, 1 + 2 * sum(dilations))


def unet(n_symbols: int, channels: int) -> Cnn:
    """Build a U-Net: down to an eighth of the size and up again, with a bridge at each size.

    Parameters
    ----------
    n_symbols
        The number of symbols.
    channels
        The numbers that represent a cell at full size; they double with each halving.

    Returns
    -------
    Cnn
        The network, not trained.

    Notes
    -----
    Ronneberger et al. 2015, arXiv:1505.04597.

    Examples
    --------
    >>> from gridcloze.study.cnn import n_parameters, unet
    >>> n_parameters(unet(n_symbols=2, channels=8))
    157594
    """
    return Cnn(n_symbols, channels, [_UNet(channels, LEVELS)], None)


def fourier(n_symbols: int, channels: int) -> Cnn:
    """Build a network whose layers see the neighbours and, through a Fourier transform, the whole grid.

    Parameters
    ----------
    n_symbols
        The number of symbols.
    channels
        The numbers that represent a cell.

    Returns
    -------
    Cnn
        The network, not trained.

    Notes
    -----
    Fast Fourier convolution, Chi et al. 2020 (NeurIPS).

    Examples
    --------
    >>> from gridcloze.study.cnn import fourier
    >>> len(fourier(n_symbols=2, channels=8).layers)
    8
    """
    return Cnn(
        n_symbols, channels, [layer for _ in range(4) for layer in (_Residual(channels), _Spectral(channels))], None
    )


RIVALS: dict[str, Callable[[int, int], Cnn]] = {"dilated": dilated, "unet": unet, "fourier": fourier}


def sized(build: Callable[[int], Cnn], parameters: int = PARAMETERS) -> Cnn:
    """Build the network whose number of parameters is nearest to a given one, as a ratio.

    Parameters
    ----------
    build
        Builds a network with a number of channels; multiples of 8 up to 128 are tried, which are fast.
    parameters
        The number of parameters.

    Returns
    -------
    Cnn
        The network nearest in size.

    Examples
    --------
    >>> from functools import partial
    >>> from gridcloze.study.cnn import n_parameters, residual, sized
    >>> n_parameters(sized(partial(residual, 2, 9), parameters=50_000))
    46442
    """
    with torch.device("meta"):
        ratios = {channels: n_parameters(build(channels)) / parameters for channels in range(8, MOST_CHANNELS + 1, 8)}
    return build(min(ratios, key=lambda channels: abs(math.log(ratios[channels]))))


def n_parameters(model: nn.Module) -> int:
    """Count the parameters of a network.

    Parameters
    ----------
    model
        The network.

    Returns
    -------
    int
        The number of trained numbers.

    Examples
    --------
    >>> from torch import nn
    >>> from gridcloze.study.cnn import n_parameters
    >>> n_parameters(nn.Linear(3, 2))
    8
    """
    return sum(parameter.numel() for parameter in model.parameters())


class _CellNorm(nn.LayerNorm):
    """LayerNorm over the channels of each cell: one over the grid would let every cell see all others."""

    def forward(self, input: Features) -> Features:  # the name that torch gives it
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class _Convolution(nn.Module):
    """A convolution that keeps the size of the grid; its kernel is one matrix (output, input × cells)."""

    def __init__(self, channels: int, to: int, side: int = 3, dilation: int = 1):
        super().__init__()
        self.shape, self.dilation = (to, channels, side, side), dilation
        inputs = channels * side * side
        self.kernel = nn.Parameter(torch.randn(to, inputs) / math.sqrt(inputs))

    def forward(self, x: Features) -> Float[Tensor, "batch to height width"]:
        padding = self.dilation * (self.shape[-1] // 2)
        return F.conv2d(x, self.kernel.view(self.shape), padding=padding, dilation=self.dilation)


class _Residual(nn.Module):
    """A convolution, then a mix of the channels of each cell, added to what came in (pre-norm, as in the BERT)."""

    def __init__(self, channels: int, dilation: int = 1):
        super().__init__()
        self.norm = _CellNorm(channels)
        self.look = _Convolution(channels, 2 * channels, 3, dilation)
        self.mix = _Convolution(2 * channels, channels, 1)
        nn.init.zeros_(self.mix.kernel)  # every layer starts as the identity

    def forward(self, x: Features) -> Features:
        return x + self.mix(F.gelu(self.look(self.norm(x))))


class _UNet(nn.Module):
    """A layer at this size, the same network at half of it, and a layer that joins the two."""

    def __init__(self, channels: int, levels: int):
        super().__init__()
        self.before, self.after = _Residual(channels), _Residual(channels)
        self.down = _Convolution(4 * channels, 2 * channels, 1)
        self.inner = _UNet(2 * channels, levels - 1) if levels > 1 else _Residual(2 * channels)
        self.up = _Convolution(2 * channels, 4 * channels, 1)

    def forward(self, x: Features) -> Features:
        x = self.before(x)
        height, width = x.shape[2:]
        even = F.pad(x, (0, width % 2, 0, height % 2))
        deeper = F.pixel_shuffle(self.up(self.inner(self.down(F.pixel_unshuffle(even, 2)))), 2)
        return self.after(x + deeper[..., :height, :width])


class _Spectral(nn.Module):
    """The channels of each frequency mixed: a convolution as large as the grid."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = _CellNorm(channels)
        self.mix = _Convolution(2 * channels, 2 * channels, 1)
        self.to_output = _Convolution(channels, channels, 1)
        nn.init.zeros_(self.to_output.kernel)

    def forward(self, x: Features) -> Features:
        frequencies = torch.fft.rfft2(self.norm(x).float(), norm="ortho")  # there is no transform of bfloat16
        mixed = F.gelu(self.mix(torch.cat((frequencies.real, frequencies.imag), dim=1))).float()
        real, imaginary = mixed.chunk(2, dim=1)
        filtered = torch.fft.irfft2(torch.complex(real, imaginary), s=x.shape[2:], norm="ortho")
        return x + self.to_output(filtered)
