"""The rivals: convolutional networks, one with its receptive field on a dial, three that see the whole grid."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..words import InputError

PARAMETERS = 200_000  # about, of each; the BERT of 6 layers × 64 has as many
MOST_CHANNELS = 128
LEVELS = 3  # of the U-Net
Features = Float[Tensor, "batch channel height width"]


class Cnn(nn.Module):
    """Tokens in, logits out, and layers of convolutions between. Beyond the grid's edge there is nothing (zeros).

    `receptive_field` is the side of the window of cells that can change what is said of the cell in its middle, or
    None where that is the whole grid.
    """

    def __init__(self, n_symbols: int, channels: int, layers: list[nn.Module], receptive_field: int | None):
        super().__init__()
        self.n_symbols, self.receptive_field = n_symbols, receptive_field
        self.token_to_features = nn.Embedding(n_symbols + 1, channels)
        self.layers = nn.Sequential(*layers)
        self.before_output = nn.LayerNorm(channels)
        self.features_to_logits = nn.Linear(channels, n_symbols)
        for parameter in self.features_to_logits.parameters():  # training starts from a uniform law
            nn.init.zeros_(parameter)

    def hidden_matrices(self) -> list[nn.Parameter]:
        """The kernels, stored as matrices, which Muon trains as it trains those of the BERT."""
        return [parameter for parameter in self.layers.parameters() if parameter.ndim == 2]

    def forward(self, tokens: Int[Tensor, "batch height width"]) -> Float[Tensor, "batch height width symbol"]:
        """The logits of every cell; a token is a symbol, or `n_symbols` for a hidden cell."""
        return self._from_features(self.token_to_features(tokens))

    def from_one_hot(
        self, one_hot: Float[Tensor, "batch height width token"]
    ) -> Float[Tensor, "batch height width symbol"]:
        """As `forward`, of tokens that are one-hot: what a gradient by cells needs."""
        return self._from_features(one_hot @ self.token_to_features.weight)

    def _from_features(
        self, features: Float[Tensor, "batch height width channel"]
    ) -> Float[Tensor, "batch height width symbol"]:
        features = self.layers(features.movedim(-1, 1))
        return self.features_to_logits(self.before_output(features.movedim(1, -1)))


def residual(n_symbols: int, receptive_field: int, channels: int) -> Cnn:
    """A residual network of 3×3 convolutions, as many as make the receptive field, an odd number of cells."""
    if receptive_field < 3 or receptive_field % 2 == 0:
        raise InputError(f"a receptive field is an odd number of cells from 3, not {receptive_field}")
    layers: list[nn.Module] = [Residual(channels) for _ in range(receptive_field // 2)]
    return Cnn(n_symbols, channels, layers, receptive_field)


def dilated(n_symbols: int, channels: int) -> Cnn:
    """Convolutions that look at cells farther and farther apart, up to 31 (Yu and Koltun 2016, arXiv:1511.07122)."""
    dilations = (1, 2, 4, 8, 16, 1)
    layers: list[nn.Module] = [Residual(channels, dilation) for dilation in dilations]
    return Cnn(n_symbols, channels, layers, 1 + 2 * sum(dilations))


def unet(n_symbols: int, channels: int) -> Cnn:
    """Down to an eighth of the size and up again, with a bridge at each size (Ronneberger et al. 2015)."""
    return Cnn(n_symbols, channels, [UNet(channels, LEVELS)], None)


def fourier(n_symbols: int, channels: int) -> Cnn:
    """Each layer looks at its neighbours and, through a Fourier transform, at the whole grid (Chi et al. 2020)."""
    return Cnn(
        n_symbols, channels, [layer for _ in range(4) for layer in (Residual(channels), Spectral(channels))], None
    )


RIVALS: dict[str, Callable[[int, int], Cnn]] = {"dilated": dilated, "unet": unet, "fourier": fourier}


def sized(build: Callable[[int], Cnn], parameters: int = PARAMETERS) -> Cnn:
    """Of the networks whose channels are a multiple of 8, which is fast, the one nearest in size, as a ratio."""
    with torch.device("meta"):
        ratios = {channels: n_parameters(build(channels)) / parameters for channels in range(8, MOST_CHANNELS + 1, 8)}
    return build(min(ratios, key=lambda channels: abs(math.log(ratios[channels]))))


def n_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


class CellNorm(nn.LayerNorm):
    """LayerNorm over the channels of each cell: one over the grid would let every cell see all others."""

    def forward(self, input: Features) -> Features:  # the name that torch gives it
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class Convolution(nn.Module):
    """A convolution that keeps the size of the grid; its kernel is one matrix (output, input × cells)."""

    def __init__(self, channels: int, to: int, side: int = 3, dilation: int = 1):
        super().__init__()
        self.shape, self.dilation = (to, channels, side, side), dilation
        inputs = channels * side * side
        self.kernel = nn.Parameter(torch.randn(to, inputs) / math.sqrt(inputs))

    def forward(self, x: Features) -> Float[Tensor, "batch to height width"]:
        padding = self.dilation * (self.shape[-1] // 2)
        return F.conv2d(x, self.kernel.view(self.shape), padding=padding, dilation=self.dilation)


class Residual(nn.Module):
    """A convolution, then a mix of the channels of each cell, added to what came in (pre-norm, as in the BERT)."""

    def __init__(self, channels: int, dilation: int = 1):
        super().__init__()
        self.norm = CellNorm(channels)
        self.look = Convolution(channels, 2 * channels, 3, dilation)
        self.mix = Convolution(2 * channels, channels, 1)
        nn.init.zeros_(self.mix.kernel)  # every layer starts as the identity

    def forward(self, x: Features) -> Features:
        return x + self.mix(F.gelu(self.look(self.norm(x))))


class UNet(nn.Module):
    """A layer at this size, the same network at half of it, and a layer that joins the two."""

    def __init__(self, channels: int, levels: int):
        super().__init__()
        self.before, self.after = Residual(channels), Residual(channels)
        self.down = Convolution(4 * channels, 2 * channels, 1)
        self.inner = UNet(2 * channels, levels - 1) if levels > 1 else Residual(2 * channels)
        self.up = Convolution(2 * channels, 4 * channels, 1)

    def forward(self, x: Features) -> Features:
        x = self.before(x)
        height, width = x.shape[2:]
        even = F.pad(x, (0, width % 2, 0, height % 2))
        deeper = F.pixel_shuffle(self.up(self.inner(self.down(F.pixel_unshuffle(even, 2)))), 2)
        return self.after(x + deeper[..., :height, :width])


class Spectral(nn.Module):
    """The channels of each frequency mixed: a convolution as large as the grid."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = CellNorm(channels)
        self.mix = Convolution(2 * channels, 2 * channels, 1)
        self.to_output = Convolution(channels, channels, 1)
        nn.init.zeros_(self.to_output.kernel)

    def forward(self, x: Features) -> Features:
        frequencies = torch.fft.rfft2(self.norm(x).float(), norm="ortho")  # there is no transform of bfloat16
        mixed = F.gelu(self.mix(torch.cat((frequencies.real, frequencies.imag), dim=1))).float()
        real, imaginary = mixed.chunk(2, dim=1)
        seen = torch.fft.irfft2(torch.complex(real, imaginary), s=x.shape[2:], norm="ortho")
        return x + self.to_output(seen)
