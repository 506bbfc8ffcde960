"""The model: a bidirectional transformer encoder over patches of cells (BERT: Devlin et al. 2018, arXiv:1810.04805)."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from .words import InputError

MOST_PATCHES = 256
MOST_SINGLE = 100  # cells of grids whose patches are one cell each
PASS_PATCHES = 512
MOST_WRITTEN_OUT = {True: 1024, False: 128}  # patches up to which attention is written out, in bfloat16 or not


@dataclass(frozen=True)
class BertConfig:
    """Everything that decides the shape of a `Bert`. `depth` is the dial; what is 0 follows."""

    height: int  # cells of the grids it is trained on; it fills any other size too
    width: int
    n_symbols: int
    depth: int = 6
    embedding_size: int = 0
    heads: int = 0
    patch: int = 0  # cells to the side of a patch; follows from the size of the grids

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch", self.patch or smallest_patch(self.height, self.width))
        object.__setattr__(self, "embedding_size", self.embedding_size or width_of(self.depth))
        object.__setattr__(self, "heads", self.heads or heads_of(self.embedding_size))
        if min(asdict(self).values()) < 1:
            raise InputError(f"every number of a BertConfig is at least 1, got {asdict(self)}")
        if self.embedding_size % (4 * self.heads):
            raise InputError(f"embedding_size {self.embedding_size} is no multiple of 4 × {self.heads} heads")


class Bert(nn.Module):
    """Tokens in, logits out; positions are rotary, plus a learned table on the size it was trained on."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.config = config
        rows, columns = patches(config.height, config.patch), patches(config.width, config.patch)
        cells = config.patch**2
        self.patch_to_embedding = nn.Linear(cells * (config.n_symbols + 2), config.embedding_size)
        self.position = nn.Parameter(0.02 * torch.randn(rows, columns, config.embedding_size))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.depth))
        self.before_output = nn.LayerNorm(config.embedding_size)
        self.embedding_to_patch = nn.Linear(config.embedding_size, cells * config.n_symbols)
        for parameter in self.embedding_to_patch.parameters():  # training starts from a uniform law
            nn.init.zeros_(parameter)

    @property
    def n_symbols(self) -> int:
        return self.config.n_symbols

    @property
    def pass_cells(self) -> int:
        """What a pass reads at least where patches are large: two grids of 256 patches cost as much as one (LOG.md)."""
        return PASS_PATCHES * self.config.patch**2

    def hidden_matrices(self) -> list[nn.Parameter]:
        """The matrices between embedding and output, which Muon trains; AdamW trains the rest."""
        return [parameter for parameter in self.layers.parameters() if parameter.ndim == 2]

    def forward(
        self, tokens: Int[Tensor, "batch height width"], attention: list[Tensor] | None = None
    ) -> Float[Tensor, "batch height width symbol"]:
        """The logits of every cell; a token is a symbol, or `n_symbols` for a hidden cell.

        To a list `attention` each layer adds its weights (batch, head, query, key); query and key are patches, row by
        row, and the keys of a query sum to 1.
        """
        pieces = cut(tokens, self.config.patch, outside=self.n_symbols + 1)
        one_hot = F.one_hot(pieces, self.n_symbols + 2).to(self.position.dtype)
        height, width = tokens.shape[1:]
        return self._from_patches(one_hot, attention)[:, :height, :width]

    def from_one_hot(
        self, one_hot: Float[Tensor, "batch height width token"]
    ) -> Float[Tensor, "batch height width symbol"]:
        """As `forward`, of tokens that are one-hot: what a gradient by cells needs."""
        batch, height, width, n_tokens = one_hot.shape
        by_token = cut(one_hot.movedim(-1, 0).flatten(0, 1), self.config.patch, outside=0)
        pieces = by_token.unflatten(2, (n_tokens, batch)).movedim(2, -1)
        outside = 1 - pieces.detach().sum(-1, keepdim=True)
        return self._from_patches(torch.cat((pieces, outside), dim=-1))[:, :height, :width]

    def _from_patches(
        self, one_hot: Float[Tensor, "row column batch cell token"], attention: list[Tensor] | None = None
    ) -> Float[Tensor, "batch height width symbol"]:
        rows, columns = one_hot.shape[:2]
        x = self.patch_to_embedding(one_hot.flatten(-2)).flatten(0, 1)
        x = x + self._learned_positions(rows, columns)[:, None]
        rotation = rotary_positions(rows, columns, self.config.embedding_size // self.config.heads).to(x)
        for layer in self.layers:
            x = layer(x, rotation, attention)
        logits = self.embedding_to_patch(self.before_output(x))
        logits = logits.view(rows, columns, -1, self.config.patch**2, self.n_symbols)
        return join(logits, self.config.patch)

    def _learned_positions(self, rows: int, columns: int) -> Float[Tensor, "patches embedding"]:
        """The learned table on the size it was trained on, else 0; with no branch, so that exports take any size."""
        height, width = self.position.shape[:2]
        row, column = (torch.arange(n, device=self.position.device) for n in (rows, columns))
        fits = (row[-1] == height - 1) & (column[-1] == width - 1)
        place = (row[:, None] * columns + column).flatten().clamp(max=height * width - 1)
        return self.position.flatten(0, 1)[place] * fits


class Layer(nn.Module):
    """Attention, then a two-layer network at each patch; both added to what comes in (pre-norm)."""

    def __init__(self, config: BertConfig):
        super().__init__()
        size = config.embedding_size
        self.before_attention = nn.LayerNorm(size)
        self.attention = Attention(size, config.heads)
        self.before_network = nn.LayerNorm(size)
        self.input_to_inner = nn.Linear(size, 2 * size, bias=False)
        self.inner_to_output = nn.Linear(2 * size, size, bias=False)
        nn.init.zeros_(self.inner_to_output.weight)  # every layer starts as the identity

    def forward(self, x: Tensor, rotation: Tensor, attention: list[Tensor] | None) -> Tensor:
        x = x + self.attention(self.before_attention(x), rotation, attention)
        return x + self.inner_to_output(F.gelu(self.input_to_inner(self.before_network(x))))


class Attention(nn.Module):
    """Every patch looks at every patch (Vaswani et al. 2017, arXiv:1706.03762, eq. 1).

    Queries, keys and values are turned by the place of their patch, and what a query gets is turned back, so that
    both its weights and its values depend on where the others stand as seen from it (Miyato et al. 2024,
    arXiv:2310.10375). Patches come before the batch, so that one product turns all grids; the one copy after it brings
    each head's matrices into the order that the products would else copy them into.
    """

    def __init__(self, size: int, heads: int):
        super().__init__()
        self.heads = heads
        self.input_to_query_key_value = nn.Linear(size, 3 * size, bias=False)
        self.attended_to_output = nn.Linear(size, size, bias=False)
        nn.init.zeros_(self.attended_to_output.weight)

    def forward(self, x: Tensor, rotation: Tensor, attention: list[Tensor] | None) -> Tensor:
        patches, batch, size = x.shape
        of_head = size // self.heads
        scale = of_head**-0.25  # of query and key each
        turned = torch.bmm(self.input_to_query_key_value(x).view(patches, -1, of_head), rotation * scale)
        by_head = turned.view(patches, batch, 3, self.heads, of_head).permute(2, 1, 3, 0, 4)
        query, key, value = by_head.reshape(3, -1, patches, of_head).unbind()
        if attention is None and fused_pays(query):
            attended = F.scaled_dot_product_attention(query[None], key[None], value[None], scale=1.0)[0]
        else:
            weights = torch.bmm(query, key.mT).softmax(-1)
            attended = torch.bmm(weights, value)
            if attention is not None:
                attention.append(weights.view(batch, self.heads, patches, patches))
        turned_back = torch.bmm(attended.transpose(0, 1).contiguous(), rotation.mT / scale)
        return self.attended_to_output(turned_back.view(x.shape))


def fused_pays(query: Float[Tensor, "head patches of_head"]) -> bool:
    """Whether the fused kernel of attention is faster than two products and a softmax, as measured (LOG.md)."""
    return query.device.type != "cpu" or query.shape[1] > MOST_WRITTEN_OUT[query.dtype == torch.bfloat16]


def rotary_positions(rows: int, columns: int, size: int) -> Float[Tensor, "patches size size"]:
    """Rotation matrices by which the product of query and key depends on where they stand to each other.

    Half of the angles turn with the row, half with the column, at speeds from 1 to nearly 1/20 radian a patch
    (Su et al. 2021, arXiv:2104.09864).
    """
    speeds = 20.0 ** -(torch.arange(size // 4) / (size // 4))
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = torch.cat((row.reshape(-1, 1) * speeds, column.reshape(-1, 1) * speeds), dim=1)
    cosine, sine = angles.cos().diag_embed(), angles.sin().diag_embed()
    return torch.cat((torch.cat((cosine, sine), dim=2), torch.cat((-sine, cosine), dim=2)), dim=1)


def width_of(depth: int) -> int:
    """Numbers to a patch: 16 a layer up to 64, which then does for 8 layers, and 8 a layer from there."""
    return max(16 * min(depth, 4), 16 * math.ceil(depth / 2))


def heads_of(embedding_size: int) -> int:
    """Heads of 16 numbers, of 32 in wide models: half as many attention weights, and the same quality (LOG.md)."""
    return max(1, embedding_size // (32 if embedding_size >= 128 and embedding_size % 32 == 0 else 16))


def smallest_patch(height: int, width: int) -> int:
    """2 cells to the side, doubled until there are not too many patches: attention costs their number squared.

    1 for small grids, such as those of puzzles.
    """
    patch = 1 if height * width <= MOST_SINGLE else 2
    while patches(height, patch) * patches(width, patch) > MOST_PATCHES:
        patch *= 2
    return patch


def patches(cells: int, patch: int) -> int:
    """How many patches cover a side of so many cells."""
    return math.ceil(cells / patch)


def cut(
    tokens: Shaped[Tensor, "batch height width"], patch: int, outside: int
) -> Shaped[Tensor, "row column batch cell"]:
    """The patches of grids, filled up with `outside` on the right and below; `join` is the inverse."""
    batch, height, width = tokens.shape
    rows, columns = patches(height, patch), patches(width, patch)
    full = F.pad(tokens, (0, columns * patch - width, 0, rows * patch - height), value=outside)
    return full.view(batch, rows, patch, columns, patch).permute(1, 3, 0, 2, 4).reshape(rows, columns, batch, -1)


def join(
    pieces: Float[Tensor, "row column batch cell symbol"], patch: int
) -> Float[Tensor, "batch height width symbol"]:
    """The grids that patches make, with the cells that `cut` added."""
    rows, columns, batch, _, n_symbols = pieces.shape
    cells = pieces.view(rows, columns, batch, patch, patch, n_symbols).permute(2, 0, 3, 1, 4, 5)
    return cells.reshape(batch, rows * patch, columns * patch, n_symbols)


def config_from_json(values: dict[str, Any]) -> BertConfig:
    """The config in a model file's header; raises InputError for a field that is unknown or no integer."""
    unknown = set(values) ^ set(BertConfig.__dataclass_fields__)
    if unknown or not all(type(value) is int for value in values.values()):
        raise InputError(f"the config of the model does not fit this version of gridcloze: {sorted(unknown) or values}")
    return BertConfig(**values)
