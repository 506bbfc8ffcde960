"""Side maps: what is known about every cell besides its symbol, and predictors that are bound to it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int

from .predictor import Predictor, Size
from .shapes import Cells, Hidden, Marginals
from .words import InputError, about

MOST_CLASSES = 64  # of a side map
KINDS = ("classes", "numbers")
WITHOUT_SIDE = "--side none (in Python side='none') to fill as if they were unknown"
UNKNOWN = "filled as if these side maps were unknown: {}"

Side = Float[np.ndarray, "batch height width channel"]  # NaN where unknown
OfGrids = Sequence[Float[np.ndarray, "_height _width channel"]] | Side  # of grids of any sizes, or of one
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Channel:
    """One side map of a model: of classes, or of numbers.

    Parameters
    ----------
    name
        By which the side maps of a fill are checked.
    classes
        The values that the examples have, ascending; empty for a map of numbers.
    mean, deviation
        Of the known values in the examples; a map of numbers is standardised with them.

    Examples
    --------
    Whether each value is known is a feature of its own:

    >>> Channel("elevation", mean=100.0, deviation=50.0).encoded(np.array([150.0, np.nan]))
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    >>> Channel("zones", classes=(2.0, 7.0)).encoded(np.array([7.0, np.nan]))
    array([[0., 1., 0.],
           [0., 0., 1.]], dtype=float32)
    """

    name: str
    classes: tuple[float, ...] = ()
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def kind(self) -> str:
        """Classes or numbers."""
        return "classes" if self.classes else "numbers"

    @property
    def n_features(self) -> int:
        """How many numbers a model gets for each cell."""
        return max(1, len(self.classes)) + 1

    def encoded(self, values: Float[np.ndarray, "*cells"]) -> Float32[np.ndarray, "*cells feature"]:
        """Encode values for a model.

        Parameters
        ----------
        values
            NaN where unknown.

        Returns
        -------
        array
            A bit for each class or the standardised number, and a bit that says that it is unknown.
        """
        unknown = np.isnan(values)[..., None]
        if self.classes:
            known = values[..., None] == np.array(self.classes)
        else:
            known = np.where(unknown, 0.0, (values[..., None] - self.mean) / self.deviation)
        return np.concatenate([known, unknown], axis=-1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class SideMaps:
    """The side maps of examples, and how a model gets them.

    Parameters
    ----------
    channels
        One for each map.
    values
        For each grid an array (height, width, channel), NaN where unknown.

    Examples
    --------
    >>> maps = SideMaps.of(np.array([[[[0.5, 3.0], [1.5, np.nan]]]]), ["depth", "zone:classes"])
    >>> [(channel.name, channel.kind) for channel in maps.channels], maps.channels[0].mean
    ([('depth', 'numbers'), ('zone', 'classes')], 1.0)
    """

    channels: tuple[Channel, ...]
    values: OfGrids

    @classmethod
    def of(cls, values: Any, names: Iterable[str] = (), integers: Sequence[bool] = ()) -> "SideMaps":
        """Make the channels of a model from the side maps of its examples.

        Parameters
        ----------
        values
            For each grid an array (height, width, channel) of numbers, NaN where unknown.
        names
            Of the maps; by default "side 0", "side 1", … A name that ends in ":classes" or ":numbers" says what it is.
        integers
            Of which maps the values were integers, by default by the type of the array: these are classes, the others
            numbers, unless a name says otherwise.

        Returns
        -------
        SideMaps
            With the classes, or the mean and the standard deviation, of each map.

        Raises
        ------
        InputError
            If a map is infinite anywhere, known nowhere, or has more than 64 classes; if two have the same name, or
            there are more or fewer names than maps.
        """
        n = values[0].shape[-1]
        names, integers = list(names), integers or [values[0].dtype.kind in "biu"] * n
        if names and len(names) != n:
            raise InputError(f"there are {n} side maps and {len(names)} names of them ({', '.join(names)})")
        named = [_name_and_kind(name) for name in names] or [(f"side {number}", "") for number in range(n)]
        if len(dict(named)) < n:
            raise InputError(f"two side maps have the same name: {', '.join(names)}")
        kinds = [kind or KINDS[not is_integer] for (_, kind), is_integer in zip(named, integers, strict=True)]
        is_array = isinstance(values, np.ndarray)
        values = [one.astype(np.float32, copy=False) for one in ([values] if is_array else values)]
        channels = [_channel(name, values, n, kinds[n]) for n, (name, _) in enumerate(named)]
        return cls(tuple(channels), values[0] if is_array else values)

    def some(self, which: Int[np.ndarray, "_some"] | slice) -> "SideMaps":
        """Keep those of some grids.

        Parameters
        ----------
        which
            The numbers of the grids; a slice of an array is no copy.

        Returns
        -------
        SideMaps
            With the same channels.
        """
        if isinstance(self.values, np.ndarray):
            return replace(self, values=self.values[which])
        return replace(self, values=[self.values[number] for number in np.arange(len(self.values))[which]])

    def features(self, which: Int[np.ndarray, "_some"] | slice) -> Float32[np.ndarray, "some height width feature"]:
        """Encode those of some grids of one size.

        Parameters
        ----------
        which
            The numbers of the grids.

        Returns
        -------
        array
            As `encoded`.
        """
        return encoded(self.channels, np.asarray(self.some(which).values))


def _name_and_kind(name: str) -> tuple[str, str]:
    before, _, kind = name.rpartition(":")
    return (before, kind) if kind in KINDS else (name, "")


def _channel(name: str, values: Sequence[np.ndarray], number: int, kind: str) -> Channel:
    known = np.concatenate([grid[..., number][~np.isnan(grid[..., number])].ravel() for grid in values])
    if not known.size:
        raise InputError(f"side map {name!r} is unknown (NaN or no data) everywhere: leave it out")
    if np.isinf(known).any():
        raise InputError(f"side map {name!r} has infinite values: where it is unknown, write NaN")
    if kind == "classes":
        classes = np.unique(known).tolist()
        if len(classes) > MOST_CLASSES:
            many = f"side map {name!r} is of integers and has {len(classes)} classes, more than {MOST_CLASSES}"
            raise InputError(f"{many}; if these are amounts, name it '{name}:numbers'")
        return Channel(name, tuple(classes))
    return Channel(name, (), float(known.mean(dtype=np.float64)), float(known.std(dtype=np.float64)) or 1.0)


def encoded(
    channels: Sequence[Channel], values: Float[np.ndarray, "*cells channel"]
) -> Float32[np.ndarray, "*cells feature"]:
    """Encode the values of all channels for a model.

    Parameters
    ----------
    channels
        Of the model.
    values
        NaN where unknown.

    Returns
    -------
    array
        The features of all channels behind each other.

    Examples
    --------
    >>> encoded([Channel("depth"), Channel("zone", (1.0, 2.0))], np.array([[0.5, 2.0]]))
    array([[0.5, 0. , 0. , 1. , 0. ]], dtype=float32)
    """
    return np.concatenate([channel.encoded(values[..., n]) for n, channel in enumerate(channels)], axis=-1)


def without(side: Side, channel: int) -> Side:
    """Make one side map unknown, which is how its worth and its influence are measured.

    Parameters
    ----------
    side
        Side maps of grids.
    channel
        Which of them.

    Returns
    -------
    Side
        A copy, NaN there.

    Examples
    --------
    >>> without(np.zeros((1, 1, 1, 2)), 1)
    array([[[[ 0., nan]]]])
    """
    side = side.copy()
    side[..., channel] = np.nan
    return side


def as_side(given: Any, channels: Sequence[Channel] | None = None) -> tuple[list[str], Any, list[bool]]:
    """Take side maps as they are given in Python.

    Parameters
    ----------
    given
        An array (grid, height, width, channel), a list of arrays (height, width, channel) for grids of several sizes,
        or a mapping of names to arrays (grid, height, width), such as a Dataset of xarray.
    channels
        Of the model; then a mapping must have these names in this order.

    Returns
    -------
    names : list of str
        Empty for arrays.
    values : array or list of arrays
        Of 32-bit floats.
    integers : list of bool
        Of which maps the values were integers; one entry for all of an array or of a list.

    Raises
    ------
    InputError
        For what are no numbers, and for other names or another order.

    Examples
    --------
    >>> names, values, integers = as_side({"depth": np.zeros((1, 2, 3)), "zone": np.ones((1, 2, 3), int)})
    >>> names, values.shape, integers
    (['depth', 'zone'], (1, 2, 3, 2), [False, True])
    """
    names = list(map(str, given)) if isinstance(given, Mapping) else []
    if names and channels is not None:
        check_names(names, channels)
    is_list = isinstance(given, list | tuple)
    each = [np.ma.asarray(one) for one in ([given[name] for name in given] if names else given if is_list else [given])]
    if wrong := [one.dtype for one in each if one.dtype.kind not in "biuf"]:
        raise InputError(f"side maps must be numbers, not of type {wrong[0]}")
    if names and len({one.shape for one in each}) > 1:
        raise InputError(f"side maps {', '.join(names)} differ in shape: give all for the same grids")
    integers = [one.dtype.kind in "biu" for one in each]
    values = [np.ma.filled(one.astype(np.float32), np.nan) for one in each]
    if names:
        return names, np.stack(values, axis=-1), integers
    return names, values if is_list else values[0], [all(integers)]


def check_names(names: Sequence[str], channels: Sequence[Channel]) -> None:
    """Refuse side maps that are not those of a model, in its order.

    Parameters
    ----------
    names
        Of the maps that are given.
    channels
        Of the model.

    Raises
    ------
    InputError
        For a missing map, one too many, and another order; it names all.

    Examples
    --------
    >>> check_names(["zone", "depth"], [Channel("depth"), Channel("zone")])
    Traceback (most recent call last):
    gridcloze.words.InputError: the model has the side maps depth, zone and is given zone, depth: keep their order
    """
    wanted, names = [channel.name for channel in channels], [_name_and_kind(name)[0] for name in names]
    if names == wanted:
        return
    if not wanted:
        raise InputError(f"the model learned without side maps and is given {', '.join(names)}: leave them out")
    what = "keep their order" if sorted(names) == sorted(wanted) else "give these, in this order"
    raise InputError(
        f"the model has the side maps {', '.join(wanted)} and is given {', '.join(names) or 'none'}: {what}"
    )


def check_side(side: Side, channels: Sequence[Channel]) -> None:
    """Refuse side maps of grids that a model cannot take.

    Parameters
    ----------
    side
        Of any number of grids, or of a part of one.
    channels
        Of the model.

    Raises
    ------
    InputError
        For another number of maps, infinite values, and classes that no example has.

    Examples
    --------
    >>> check_side(np.full((1, 1, 2, 1), 3.0), [Channel("zone", (1.0, 2.0))])
    Traceback (most recent call last):
    gridcloze.words.InputError: side map 'zone' is 3 at grid 0, row 0, column 0, and in the examples 1, 2 only
    """
    if side.shape[-1] != len(channels):
        wanted = ", ".join(channel.name for channel in channels) or "none"
        raise InputError(f"there are {side.shape[-1]} side maps, and the model has {len(channels)} ({wanted})")
    for number, channel in enumerate(channels):
        values = side[..., number]
        known = ~np.isnan(values)
        wrong = np.argwhere(known & (~np.isin(values, channel.classes) if channel.classes else np.isinf(values)))
        if len(wrong):
            grid, row, column = wrong[0]
            value, cell = f"{values[grid, row, column]:g}", f"grid {grid}, row {row}, column {column}"
            where = f"side map {channel.name!r} is {value} at {cell}"
            seen = ", ".join(f"{value:g}" for value in channel.classes)
            raise InputError(f"{where}, and in the examples {seen} only" if seen else f"{where}: write NaN if unknown")


def as_of_model(side: SideMaps | None, channels: tuple[Channel, ...]) -> SideMaps:
    """Take the side maps of examples as a model does that learns more: with its classes, means and deviations.

    Parameters
    ----------
    side
        Of the examples.
    channels
        Of the model.

    Returns
    -------
    SideMaps
        The same values.

    Raises
    ------
    InputError
        If they are not those of the model, or have classes that it does not know.

    Examples
    --------
    >>> as_of_model(SideMaps.of(np.ones((1, 1, 1, 1)), ["depth"]), (Channel("depth", mean=5.0),)).channels[0].mean
    5.0
    """
    check_names([channel.name for channel in side.channels] if side else [], channels)
    assert side is not None  # else names are missing
    for number, values in enumerate(side.values):
        with about(f"example {number}"):
            check_side(values[None], channels)
    return replace(side, channels=channels)


class SidedPredictor:
    """A predictor that is bound to the side maps of the grids that it is asked about.

    Parameters
    ----------
    predictor
        Takes side maps as the third argument of `marginals`, as `TrainedPredictor` does.
    side
        Of each grid, (height, width, channel): an array, or objects that are read window by window.
    which
        The number of the grid of each row that it is asked about; a single one is that of all rows.

    Examples
    --------
    >>> class Copier:  # of what its side map shows
    ...     n_symbols, window = 2, None
    ...     def marginals(self, cells, hidden, side):
    ...         return np.stack([1 - side[..., 0], side[..., 0]], axis=-1)
    >>> bound = SidedPredictor(Copier(), np.array([[[[1.0]]], [[[0.0]]]]), np.array([0, 1]))
    >>> bound.marginals(np.full((2, 1, 1), -1), np.full((2, 1, 1), True)).argmax(axis=-1).ravel()
    array([1, 0])
    """

    def __init__(self, predictor: Any, side: Any, which: Int[np.ndarray, "row"]):
        self.predictor, self.side, self.which = predictor, side, which
        self.n_symbols, self.window = predictor.n_symbols, predictor.window

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """See `Predictor.marginals`."""
        return self.predictor.marginals(cells, hidden, self._of(len(cells)))

    @property
    def patch(self) -> int:
        """See `explaining.Attentive`."""
        return self.predictor.patch

    @property
    def has_attention(self) -> bool:
        """See `TrainedPredictor`."""
        return self.predictor.has_attention

    def attention(self, cells: Cells, hidden: Hidden) -> Float[np.ndarray, "batch layer head query key"]:
        """See `explaining.Attentive`."""
        return self.predictor.attention(cells, hidden, self._of(len(cells)))

    def number(self, row: int) -> int:
        """Find the grid whose side maps a row has.

        Parameters
        ----------
        row
            Of those that it is asked about.

        Returns
        -------
        int
            The place among `side`.
        """
        return int(self.which[row if len(self.which) > 1 else 0])

    def _of(self, n: int) -> Side:
        which = self.which if len(self.which) == n else np.repeat(self.which, n)
        return np.asarray(self.side)[which]


def with_side(predictor: Predictor, side: Side | None, n: int = 1) -> Predictor:
    """Bind a predictor to the side maps of the grids that it will be asked about.

    Parameters
    ----------
    predictor
        Anything that predicts.
    side
        The side maps of each grid; None if there are none.
    n
        Rows of each grid, one behind the other.

    Returns
    -------
    Predictor
        The same without side maps.

    Raises
    ------
    InputError
        If the predictor needs side maps that are not there, or cannot take these.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> with_side(posterior(squares()), np.zeros((1, 16, 16, 1)))
    Traceback (most recent call last):
    gridcloze.words.InputError: this model learned without side maps: leave them out
    """
    channels = getattr(predictor, "side", None) if not isinstance(predictor, SidedPredictor) else None
    if side is None and channels:
        names = ", ".join(channel.name for channel in channels)
        raise InputError(f"the model needs the side maps that it learned with ({names}): give them, or {WITHOUT_SIDE}")
    if side is None:
        return predictor
    if not channels:
        raise InputError("this model learned without side maps: leave them out")
    check_side(side, channels)
    return SidedPredictor(predictor, side, np.repeat(np.arange(len(side)), n))


def side_number(predictor: Predictor, row: int) -> int:
    """Find the grid whose side maps a row has: rows of one grid can be predicted together.

    Parameters
    ----------
    predictor
        Bound to side maps, or not.
    row
        Of those that it is asked about.

    Returns
    -------
    int
        The number of the grid; 0 if it is not bound.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> side_number(posterior(squares()), 5)
    0
    """
    return predictor.number(row) if isinstance(predictor, SidedPredictor) else 0


def of_rows(predictor: Predictor, rows: Sequence[int]) -> Predictor:
    """Bind a predictor to some of the rows that it is bound to.

    Parameters
    ----------
    predictor
        Bound to side maps, or not.
    rows
        Their numbers.

    Returns
    -------
    Predictor
        The same if it is not bound.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> of_rows(posterior(squares()), [1]).n_symbols
    2
    """
    if not isinstance(predictor, SidedPredictor):
        return predictor
    which = np.array([predictor.number(row) for row in rows], dtype=np.int64)
    return SidedPredictor(predictor.predictor, predictor.side, which)


def in_windows(predictor: Predictor, windows: Sequence[tuple[int, Window]], size: Size) -> Predictor:
    """Bind a predictor to windows of the grids that it is bound to.

    Parameters
    ----------
    predictor
        Bound to side maps, or not.
    windows
        The row of each, and the window.
    size
        Of the windows, in cells; where one is smaller its side maps are unknown.

    Returns
    -------
    Predictor
        The same if it is not bound.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> in_windows(posterior(squares()), [(0, (slice(0, 2), slice(0, 2)))], (2, 2)).n_symbols
    2
    """
    if not isinstance(predictor, SidedPredictor):
        return predictor
    parts = [np.asarray(predictor.side[predictor.number(row)][window]) for row, window in windows]
    side = np.full((len(parts), *size, parts[0].shape[-1]), np.nan, np.float32)
    for place, part in zip(side, parts, strict=True):
        place[: part.shape[0], : part.shape[1]] = part
    return SidedPredictor(predictor.predictor, side, np.arange(len(side)))
