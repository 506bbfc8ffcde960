"""The model: a bidirectional transformer encoder over patches of cells (BERT: Devlin et al. 2018, arXiv:1810.04805)."""

import math
from dataclasses import asdict, dataclass
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from .logits import LARGEST_MODEL
from .words import InputError

MAY_BE_NONE = ("channels", "side")
MOST_PATCHES = 256
MOST_SINGLE = 100  # cells of grids whose patches are one cell each
PASS_PATCHES = 512
MOST_WRITTEN_OUT = {True: 1024, False: 128}  # patches up to which attention is written out, in bfloat16 or not

Patches = Float[Tensor, "patch batch embedding"]
Rotation = Float[Tensor, "patch size size"]
Layered = TypeVar("Layered", nn.Linear, nn.Conv2d)


@dataclass(frozen=True)
class BertConfig:
    """The sizes of a `Bert`. `depth` is the dial: what is 0 follows from it and from the size of the grids.

    Parameters
    ----------
    height, width
        The size of the grids that it is trained on, in cells; it fills any other size too.
    n_symbols
        The number of symbols.
    depth
        The number of layers.
    embedding_size
        The numbers that represent a patch; by default 16 a layer up to 64, and 8 a layer from 8 layers on.
    heads
        The heads of attention; by default one for 16 numbers, or for 32 from an embedding of 128 on.
    patch
        The side of a patch, in cells; by default 1 for grids of up to 100 cells, otherwise 2, doubled until there are
        at most 256 patches, as the cost of attention grows with their number squared.
    channels
        The numbers that represent a cell on the path from cell to cell (see `CellPath`); 0 for no such path.
    side
        The features of the side maps at each cell (see `side.Channel`); 0 for a model without side maps.

    Raises
    ------
    InputError
        If a number is too small or beyond `LARGEST_MODEL`, or the embedding is no multiple of 4 numbers a head.

    Examples
    --------
    >>> from gridcloze.bert import BertConfig
    >>> BertConfig(64, 64, n_symbols=2, depth=4)
    BertConfig(height=64, width=64, n_symbols=2, depth=4, embedding_size=64, heads=4, patch=4, channels=16, side=0)
    """

    height: int
    width: int
    n_symbols: int
    depth: int = 6
    embedding_size: int = 0
    heads: int = 0
    patch: int = 0
    channels: int = 16
    side: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= LARGEST_MODEL[name]:
                raise InputError(f"{name} must be 1 … {LARGEST_MODEL[name]}, not {value}")
        object.__setattr__(self, "patch", self.patch or _default_patch(self.height, self.width))
        object.__setattr__(self, "embedding_size", self.embedding_size or _default_embedding_size(self.depth))
        object.__setattr__(self, "heads", self.heads or _default_heads(self.embedding_size))
        if min(value for name, value in asdict(self).items() if name not in MAY_BE_NONE) < 1:
            raise InputError(f"every number of a BertConfig must be at least 1, not {asdict(self)}")
        if self.embedding_size % (4 * self.heads):
            raise InputError(f"embedding_size {self.embedding_size} is no multiple of 4 × {self.heads} heads")

    @property
    def n_parameters(self) -> int:
        """The number of weights of a `Bert`, without making it."""
        cells, size = self.patch**2, self.embedding_size
        positions = _n_patches(self.height, self.patch) * _n_patches(self.width, self.patch)
        ends = cells * (self.n_symbols + 2) + 1 + positions + 2 + cells * self.n_symbols
        path = self.channels * (cells * (size + 1) + 25 * (self.n_symbols + 1) + 9 * self.channels + 1 + self.n_symbols)
        of_side = self.side * (cells * size + self.n_symbols + 25 * self.channels)
        return size * ends + cells * self.n_symbols + self.depth * (8 * size**2 + 4 * size) + path + of_side


def _default_embedding_size(depth: int) -> int:
    return max(16 * min(depth, 4), 16 * math.ceil(depth / 2))


def _default_heads(embedding_size: int) -> int:
    """Heads of 32 numbers have half as many attention weights as heads of 16, and the same quality (LOG.md)."""
    return max(1, embedding_size // (32 if embedding_size >= 128 and embedding_size % 32 == 0 else 16))


def _default_patch(height: int, width: int) -> int:
    patch = 1 if height * width <= MOST_SINGLE else 2
    while _n_patches(height, patch) * _n_patches(width, patch) > MOST_PATCHES:
        patch *= 2
    return patch


def _n_patches(cells: int, patch: int) -> int:
    """The number of patches that cover a side of the grid."""
    return math.ceil(cells / patch)


def cut(
    tokens: Shaped[Tensor, "batch height width"], patch: int, outside: int
) -> Shaped[Tensor, "row column batch cell"]:
    """Cut grids into patches; `join` is the inverse.

    Parameters
    ----------
    tokens
        The grids.
    patch
        The side of a patch, in cells.
    outside
        What fills the patches that reach beyond the right or the lower edge.

    Returns
    -------
    Tensor
        The cells of the patch in each row and column of patches, row by row.

    Examples
    --------
    >>> import torch
    >>> from gridcloze.bert import cut
    >>> cut(torch.tensor([[[1, 2, 3], [4, 5, 6]]]), patch=2, outside=0).tolist()
    [[[[1, 2, 4, 5]], [[3, 0, 6, 0]]]]
    """
    batch, height, width = tokens.shape
    rows, columns = _n_patches(height, patch), _n_patches(width, patch)
    padded = F.pad(tokens, (0, columns * patch - width, 0, rows * patch - height), value=outside)
    return padded.view(batch, rows, patch, columns, patch).permute(1, 3, 0, 2, 4).reshape(rows, columns, batch, -1)


def _cut_each(
    values: Float[Tensor, "batch height width channel"], patch: int
) -> Float[Tensor, "row column batch cell channel"]:
    """Cut the patches of every channel; 0 outside the grid."""
    batch, _, _, channels = values.shape
    return cut(values.movedim(-1, 0).flatten(0, 1), patch, outside=0).unflatten(2, (channels, batch)).movedim(2, -1)


def join(
    patches: Float[Tensor, "row column batch cell symbol"], patch: int
) -> Float[Tensor, "batch height width symbol"]:
    """Join patches into grids; the inverse of `cut`.

    Parameters
    ----------
    patches
        Numbers for the cells of each patch.
    patch
        The side of a patch, in cells.

    Returns
    -------
    Tensor
        The grids, with the cells that `cut` added at the right and lower edges.

    Examples
    --------
    >>> import torch
    >>> from gridcloze.bert import cut, join
    >>> grids = torch.rand(2, 4, 6)
    >>> torch.equal(join(cut(grids, patch=2, outside=0)[..., None], patch=2)[..., 0], grids)
    True
    """
    rows, columns, batch, _, n_symbols = patches.shape
    cells = patches.view(rows, columns, batch, patch, patch, n_symbols).permute(2, 0, 3, 1, 4, 5)
    return cells.reshape(batch, rows * patch, columns * patch, n_symbols)


def rotary_positions(rows: int, columns: int, size: int) -> Rotation:
    """Return rotations under which the product of query and key depends on their relative position only.

    Half of the angles grow with the row, half with the column, at speeds from 1 to nearly 1/20 radian a patch.

    Parameters
    ----------
    rows, columns
        The rows and columns of patches.
    size
        The numbers of a head, a multiple of 4.

    Returns
    -------
    Tensor
        A rotation matrix for each patch, row by row.

    Notes
    -----
    Su et al. 2021, arXiv:2104.09864.

    Examples
    --------
    >>> import torch
    >>> from gridcloze.bert import rotary_positions
    >>> rotation = rotary_positions(2, 3, size=4)
    >>> rotation.shape
    torch.Size([6, 4, 4])
    >>> torch.allclose(rotation[0] @ rotation[4].mT, rotation[1] @ rotation[5].mT)
    True
    """
    speeds = 20.0 ** -(torch.arange(size // 4) / (size // 4))
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = torch.cat((row.reshape(-1, 1) * speeds, column.reshape(-1, 1) * speeds), dim=1)
    cosine, sine = angles.cos().diag_embed(), angles.sin().diag_embed()
    return torch.cat((torch.cat((cosine, sine), dim=2), torch.cat((-sine, cosine), dim=2)), dim=1)


class Layer(nn.Module):
    """Attention, then a network of two layers at each patch; both are added to their input (pre-norm).

    Parameters
    ----------
    config
        The sizes of the model.

    Examples
    --------
    A layer starts as the identity:

    >>> import torch
    >>> from gridcloze.bert import BertConfig, Layer, rotary_positions
    >>> layer = Layer(BertConfig(4, 4, n_symbols=2, depth=1))
    >>> x = torch.rand(6, 1, 16)
    >>> torch.equal(layer(x, rotary_positions(2, 3, size=16)), x)
    True
    """

    def __init__(self, config: BertConfig):
        super().__init__()
        size = config.embedding_size
        self.before_attention = nn.LayerNorm(size)
        self.attention = Attention(size, config.heads)
        self.before_network = nn.LayerNorm(size)
        self.input_to_inner = nn.Linear(size, 2 * size, bias=False)
        self.inner_to_output = nn.Linear(2 * size, size, bias=False)
        nn.init.zeros_(self.inner_to_output.weight)  # every layer starts as the identity
        self.dropout, self.of_batch = 0.0, slice(0, None)

    def forward(self, x: Patches, rotation: Rotation, attention: list[Tensor] | None = None) -> Patches:
        """Return the embedding of each patch after this layer.

        Parameters
        ----------
        x
            The embedding of each patch before it.
        rotation
            See `rotary_positions`.
        attention
            A list to which the attention weights are appended; see `Bert.forward`.

        Returns
        -------
        Tensor
            Of the same shape as `x`.
        """
        x = x + self._dropped(self.attention(self.before_attention(x), rotation, attention))
        return x + self._dropped(self.inner_to_output(F.gelu(self.input_to_inner(self.before_network(x)))))

    def _dropped(self, x: Patches) -> Patches:
        """Without some of the numbers of each grid, the same at all patches: fewer to draw than one for each."""
        if not (self.training and self.dropout):
            return x
        drawn = torch.rand(self.of_batch.stop or x.shape[1], x.shape[2], device=x.device)[self.of_batch]
        return x * ((drawn >= self.dropout) / (1 - self.dropout)).to(x.dtype)


class Attention(nn.Module):
    """Every patch attends to every patch.

    Queries, keys and values are rotated by the position of their patch, and what a query receives is rotated back, so
    that both its weights and its values depend on the positions of the others relative to its own.

    Parameters
    ----------
    size
        The numbers that represent a patch.
    heads
        The number of heads, which divides the size.

    Notes
    -----
    Vaswani et al. 2017, arXiv:1706.03762, eq. 1, with the rotations of Miyato et al. 2024, arXiv:2310.10375. The axis
    of patches comes before that of the batch, so that one product rotates all grids; the one copy after it brings each
    head's matrices into the order that the products would otherwise copy them into.

    Examples
    --------
    >>> import torch
    >>> from gridcloze.bert import Attention, rotary_positions
    >>> weights = []
    >>> output = Attention(size=16, heads=2)(torch.rand(6, 1, 16), rotary_positions(2, 3, size=8), weights)
    >>> weights[0].shape
    torch.Size([1, 2, 6, 6])
    >>> torch.allclose(weights[0].sum(dim=-1), torch.ones(1, 2, 6))
    True
    """

    def __init__(self, size: int, heads: int):
        super().__init__()
        self.heads = heads
        self.input_to_query_key_value = nn.Linear(size, 3 * size, bias=False)
        self.attended_to_output = nn.Linear(size, size, bias=False)
        nn.init.zeros_(self.attended_to_output.weight)

    def forward(self, x: Patches, rotation: Rotation, attention: list[Tensor] | None = None) -> Patches:
        """Return what each patch receives from all patches.

        Parameters
        ----------
        x
            The embedding of each patch.
        rotation
            See `rotary_positions`.
        attention
            A list to which the weights are appended; see `Bert.forward`.

        Returns
        -------
        Tensor
            Of the same shape as `x`.
        """
        patches, batch, size = x.shape
        of_head = size // self.heads
        scale = of_head**-0.25  # of query and key each
        rotated = torch.bmm(self.input_to_query_key_value(x).view(patches, -1, of_head), rotation * scale)
        by_head = rotated.view(patches, batch, 3, self.heads, of_head).permute(2, 1, 3, 0, 4)
        query, key, value = by_head.reshape(3, -1, patches, of_head).unbind()
        if attention is None and _fused_pays(query):
            attended = F.scaled_dot_product_attention(query[None], key[None], value[None], scale=1.0)[0]
        else:
            weights = torch.bmm(query, key.mT).softmax(-1)
            attended = torch.bmm(weights, value)
            if attention is not None:
                attention.append(weights.view(batch, self.heads, patches, patches))
        rotated_back = torch.bmm(attended.transpose(0, 1).contiguous(), rotation.mT / scale)
        return self.attended_to_output(rotated_back.view(x.shape))


def _fused_pays(query: Float[Tensor, "head patch of_head"]) -> bool:
    """Whether the fused kernel of attention is faster than two products and a softmax, as measured (LOG.md)."""
    return query.device.type != "cpu" or query.shape[1] > MOST_WRITTEN_OUT[query.dtype == torch.bfloat16]


def _silent(layer: Layered) -> Layered:
    """A layer that starts by saying nothing."""
    nn.init.zeros_(cast(Tensor, layer.weight))
    return layer


def _to_cells(
    linear: nn.Linear, embedding: Float[Tensor, "row column batch embedding"], patch: int, size: tuple[int, ...]
) -> Float[Tensor, "batch height width channel"]:
    """What a layer says of each cell of the patches, without the cells that `cut` added."""
    by_cell = linear(embedding).unflatten(-1, (patch**2, linear.out_features // patch**2))
    return join(by_cell, patch)[:, : size[0], : size[1]]


class CellPath(nn.Module):
    """A path at full resolution: what its patch says of a cell, joined with the tokens around it.

    Patches share no weights between their cells, so what a cell owes to its neighbours would have to be learned for
    each place in a patch, and across its borders by attention. Two convolutions over cells see it at once (LOG.md).

    Parameters
    ----------
    config
        The sizes of the model.

    Examples
    --------
    It starts by saying nothing:

    >>> import torch
    >>> from gridcloze.bert import BertConfig, CellPath
    >>> path = CellPath(BertConfig(4, 6, n_symbols=2, depth=1, patch=2))
    >>> logits = path(torch.rand(2, 3, 1, 16), torch.rand(1, 4, 6, 3))
    >>> logits.shape, logits.any().item()
    (torch.Size([1, 4, 6, 2]), False)
    """

    def __init__(self, config: BertConfig):
        super().__init__()
        self.patch, channels, n_symbols = config.patch, config.channels, config.n_symbols
        self.embedding_to_cells = nn.Linear(config.embedding_size, config.patch**2 * channels)
        self.tokens_to_cell = nn.Conv2d(n_symbols + 1, channels, 5, padding=2, bias=False)
        self.cells_to_cell = nn.Conv2d(channels, channels, 3, padding=1)
        self.cell_to_symbols = nn.Conv2d(channels, n_symbols, 1, bias=False)
        nn.init.zeros_(self.cell_to_symbols.weight)
        if config.side:
            self.side_to_cell = _silent(nn.Conv2d(config.side, channels, 5, padding=2, bias=False))

    def forward(
        self,
        embedding: Float[Tensor, "row column batch embedding"],
        one_hot: Float[Tensor, "batch height width token"],
        side: Float[Tensor, "batch height width feature"] | None = None,
    ) -> Float[Tensor, "batch height width symbol"]:
        """Return what is added to the logits of each cell.

        Parameters
        ----------
        embedding
            Of each patch, after the last layer.
        one_hot
            1 at the token of each cell, of `n_symbols` + 1.
        side
            The features of its side maps.

        Returns
        -------
        Tensor
            A number for each symbol of each cell.
        """
        of_patches = _to_cells(self.embedding_to_cells, embedding, self.patch, one_hot.shape[1:3])
        cells = self.tokens_to_cell(one_hot.movedim(-1, 1)) + of_patches.movedim(-1, 1)
        if side is not None:
            cells = cells + self.side_to_cell(side.movedim(-1, 1))
        cells = F.relu(cells)
        return self.cell_to_symbols(F.relu(self.cells_to_cell(cells))).movedim(1, -1)


class Bert(nn.Module):
    """Tokens in, logits out; positions are rotary, plus a learned table on the size it was trained on.

    A token is a symbol, or `n_symbols` for a hidden cell.

    Parameters
    ----------
    config
        The sizes of the model.

    Examples
    --------
    An untrained model gives all symbols the same probability, on grids of any size:

    >>> import torch
    >>> from gridcloze.bert import Bert, BertConfig
    >>> model = Bert(BertConfig(4, 4, n_symbols=2, depth=1))
    >>> with torch.no_grad():
    ...     model(torch.tensor([[[0, 1, 2, 2, 0]]])).softmax(dim=-1)[0, 0, 2]
    tensor([0.5000, 0.5000])
    """

    def __init__(self, config: BertConfig):
        super().__init__()
        self.config = config
        rows, columns = _n_patches(config.height, config.patch), _n_patches(config.width, config.patch)
        cells = config.patch**2
        self.patch_to_embedding = nn.Linear(cells * (config.n_symbols + 2), config.embedding_size)
        self.position = nn.Parameter(0.02 * torch.randn(rows, columns, config.embedding_size))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.depth))
        self.before_output = nn.LayerNorm(config.embedding_size)
        self.embedding_to_patch = nn.Linear(config.embedding_size, cells * config.n_symbols)
        for parameter in self.embedding_to_patch.parameters():  # training starts from a uniform distribution
            nn.init.zeros_(parameter)
        self.cell_path = CellPath(config) if config.channels else None
        if config.side:
            self.side_to_embedding = _silent(nn.Linear(cells * config.side, config.embedding_size, bias=False))
            self.side_to_symbols = _silent(nn.Linear(config.side, config.n_symbols, bias=False))

    @property
    def n_symbols(self) -> int:
        """The number of symbols."""
        return self.config.n_symbols

    @property
    def pass_cells(self) -> int:
        """The cells of a forward pass at least: two grids of 256 patches cost as much as one (LOG.md)."""
        return PASS_PATCHES * self.config.patch**2

    def set_dropout(self, share: float, of_batch: slice = slice(0, None)) -> None:
        """Set how much is dropped while training.

        Parameters
        ----------
        share
            Of what each half of a layer adds, 0 up to 1.
        of_batch
            Which grids of a batch this process has, up to the last one, if several share it: they drop what one would.
        """
        for layer in self.layers:
            cast(Layer, layer).dropout, cast(Layer, layer).of_batch = share, of_batch

    def cell_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the path from cell to cell, which learn at a higher rate.

        Returns
        -------
        list of Parameter
            None without such a path.
        """
        of_side = self.side_to_symbols.parameters() if self.config.side else ()
        return [*(self.cell_path.parameters() if self.cell_path else ()), *of_side]

    def hidden_matrices(self) -> list[nn.Parameter]:
        """Return the matrices between embedding and output, which Muon trains; AdamW trains the rest.

        Returns
        -------
        list of Parameter
            All matrices of the layers.
        """
        return [parameter for parameter in self.layers.parameters() if parameter.ndim == 2]

    def forward(
        self,
        tokens: Int[Tensor, "batch height width"],
        attention: list[Tensor] | None = None,
        side: Float[Tensor, "batch height width feature"] | None = None,
    ) -> Float[Tensor, "batch height width symbol"]:
        """Return the logits of every cell.

        Parameters
        ----------
        tokens
            The symbol of each visible cell, and `n_symbols` for each hidden one.
        attention
            A list to which each layer appends its weights (batch, head, query, key). Query and key are patches, row by
            row, and the weights of a query sum to 1.
        side
            The features of the side maps, for a model that has such.

        Returns
        -------
        Tensor
            A logit for each symbol of each cell.
        """
        patches = cut(tokens, self.config.patch, outside=self.n_symbols + 1)
        by_patch = F.one_hot(patches, self.n_symbols + 2).to(self.position.dtype)
        embedding = self._embedding(by_patch, attention, side)
        by_cell = F.one_hot(tokens, self.n_symbols + 1).to(self.position.dtype) if self.cell_path else None
        return self._logits(embedding, tokens.shape[1:], by_cell, side)

    def from_one_hot(
        self, one_hot: Float[Tensor, "batch height width token"]
    ) -> Float[Tensor, "batch height width symbol"]:
        """Return the logits of tokens that are one-hot, as a gradient with respect to cells needs them.

        Parameters
        ----------
        one_hot
            1 at the token of each cell, of `n_symbols` + 1.

        Returns
        -------
        Tensor
            The logits that `Bert.forward` returns.
        """
        height, width = one_hot.shape[1:3]
        patches = _cut_each(one_hot, self.config.patch)
        outside = 1 - patches.detach().sum(-1, keepdim=True)
        return self._logits(self._embedding(torch.cat((patches, outside), dim=-1)), (height, width), one_hot)

    def _embedding(
        self,
        patches: Float[Tensor, "row column batch cell token"],
        attention: list[Tensor] | None = None,
        side: Float[Tensor, "batch height width feature"] | None = None,
    ) -> Float[Tensor, "row column batch embedding"]:
        """The embedding of each patch after the last layer."""
        rows, columns = patches.shape[:2]
        x = self.patch_to_embedding(patches.flatten(-2)).flatten(0, 1)
        if side is not None:
            x = x + self.side_to_embedding(_cut_each(side, self.config.patch).flatten(-2)).flatten(0, 1)
        x = x + self._learned_positions(rows, columns)[:, None]
        rotation = rotary_positions(rows, columns, self.config.embedding_size // self.config.heads).to(x)
        for layer in self.layers:
            x = layer(x, rotation, attention)
        return self.before_output(x).unflatten(0, (rows, columns))

    def _logits(
        self,
        embedding: Float[Tensor, "row column batch embedding"],
        size: tuple[int, ...],
        one_hot: Float[Tensor, "batch height width token"] | None,
        side: Float[Tensor, "batch height width feature"] | None = None,
    ) -> Float[Tensor, "batch height width symbol"]:
        logits = _to_cells(self.embedding_to_patch, embedding, self.config.patch, size)
        if side is not None:
            logits = logits + self.side_to_symbols(side)  # evidence is a sum of logarithms
        return logits if self.cell_path is None else logits + self.cell_path(embedding, one_hot, side)

    def _learned_positions(self, rows: int, columns: int) -> Float[Tensor, "patch embedding"]:
        """The learned table on the size it was trained on, otherwise 0; no branch, so that exports take any size."""
        height, width = self.position.shape[:2]
        row, column = (torch.arange(n, device=self.position.device) for n in (rows, columns))
        fits = (row[-1] == height - 1) & (column[-1] == width - 1)
        index = (row[:, None] * columns + column).flatten().clamp(max=height * width - 1)
        return self.position.flatten(0, 1)[index] * fits
