"""The pictures, films and numbers of the article, all from the saved results of `why.py`."""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import any_grid
from common import RESULTS
from gridcloze import explaining
from gridcloze.bert import BertConfig
from gridcloze.files.palettes import Palette
from gridcloze.files.paths import atomic_write
from gridcloze.films import write_film
from gridcloze.pictures import frame, write_explanation, write_heads, write_panels
from gridcloze.priors.finite import squares
from gridcloze.priors.known import posterior
from gridcloze.study.charts import by_network, name_of, write_bounds, write_fields, write_reach
from gridcloze.study.windows import WindowLimited
from gridcloze.words import HIDDEN
from why import DIGIT_MINUTES, LEARNED_DIGITS, MEASURES, far_puzzle

PALETTE = Palette.default(2)
PRIOR = squares(16, 16)
BERT = BertConfig(16, 16, 2)
WINDOWS = (1, 3, 6, 15)  # radii of those in the picture
FRAMES_PER_SECOND = {"training": 12.0, "reveal": 1.5}
IN_FILM = [0, 2, 3]  # of the six puzzles, those in films, whose panels are larger so


def saved(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text())


def arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(RESULTS / f"why-{name}.npz") as file:
        return dict(file)


def integers(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int64)


def at_hidden(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Probabilities, NaN at cells that are not hidden."""
    return np.where(where, values.astype(float), np.nan)


# Pictures


def draw(folder: Path) -> None:
    """Write every picture and film of the article; pictures in a light and a dark version."""
    priors, tables = saved("why-compare")["priors"], panels()
    for dark in (False, True):
        ending = "-dark" * dark
        write_bounds(folder / f"bounds{ending}.png", priors, dark)
        write_reach(folder / f"reach{ending}.png", priors, dark)
        write_fields(folder / f"fields{ending}.png", priors, dark)
        for name, (titles, names, rows) in tables.items():
            target = far_puzzle()[2] if name == "windows" else None
            write_panels(folder / f"{name}{ending}.png", titles, names, rows, PALETTE, dark, target)
        for name in ("squares", "mirror"):
            draw_explanation(folder, name, dark)
    films = {"training-squares": training("squares"), "training-mirror": training("mirror"), "reveal": reveal()}
    for name, tables_of_film in films.items():
        frames = [frame(*one, PALETTE) for one in tables_of_film]
        write_film(folder / f"{name}.mp4", frames, FRAMES_PER_SECOND[name.split("-")[0]])
        with atomic_write(folder / f"{name}.png") as poster:
            Image.fromarray(frames[-1]).save(poster, "PNG", optimize=True)


def draw_explanation(folder: Path, name: str, dark: bool) -> None:
    """Draw why one cell has its probabilities: influence, predicted and exact, and attention of the heads."""
    saved_arrays = {
        key.removeprefix(f"{name}_"): value for key, value in arrays("influence").items() if key.startswith(name)
    }
    cells, ending = integers(saved_arrays["cells"]), "-dark" * dark
    row, column = saved_arrays["target"].tolist()
    explanations = {
        who: explaining.Explanation(
            *(saved_arrays[f"{who}_{what}"].astype(float) for what in ("marginals", "hide", "flip"))
        )
        for who in ("model", "exact")
    }
    attention, correlations = saved_arrays["attention"].astype(float), saved_arrays["correlations"]
    path, over_all = folder / f"explanation-{name}{ending}.png", np.array(saved("why-influence")[name]["heads"])
    write_explanation(path, cells, (row, column), explanations, attention, over_all, PALETTE, dark)
    path = folder / f"heads-{name}{ending}.png"
    write_heads(path, attention, cells, (row, column), correlations, PALETTE, dark)


Table = tuple[list[str], list[str], list[list[np.ndarray]]]  # titles, names of rows, rows of panels


def panels() -> dict[str, Table]:
    """The pictures that are tables of grids, by name."""
    of_training, of_digits = arrays("training"), arrays("digits")
    return {
        "cover": ([""] * 4, [""], [samples(4)]),
        "samples": ([""] * 4, [""] * 3, [samples(4, seed) for seed in (1, 2, 3)]),
        "windows": windows(),
        **{f"puzzles-{name}": puzzles(of_training, name) for name in ("squares", "mirror")},
        **{f"answers-{name}": answers(of_training, name) for name in ("squares", "mirror")},
        "digits": digits(of_digits),
        "channels": any_grid.table(),
    }


def samples(n: int, seed: int = 0) -> list[np.ndarray]:
    return list(PRIOR.sample(n, np.random.default_rng(seed)))


def puzzles(result: dict[str, np.ndarray], name: str) -> Table:
    cells = integers(result[f"{name}_cells"])
    return [""] * 3, ["1, 2, 3", "4, 5, 6"], [list(cells[:3]), list(cells[3:])]


def answers(result: dict[str, np.ndarray], name: str) -> Table:
    cells, hidden = integers(result[f"{name}_cells"]), result[f"{name}_cells"] == HIDDEN
    model, exact = (at_hidden(values, hidden) for values in (result[f"{name}_white"][-1], result[f"{name}_exact"]))
    columns = {
        "puzzle": cells,
        "white: model": model,
        "white: exact": exact,
        "truth": integers(result[f"{name}_truth"]),
    }
    return by_puzzle(columns, [str(number + 1) for number in range(len(cells))])


def digits(result: dict[str, np.ndarray]) -> Table:
    cells = integers(result["cells"])
    white = at_hidden(result["white"], cells == HIDDEN)
    columns = {"puzzle": cells, "white: model": white, "fill": integers(result["fill"])}
    return by_puzzle({**columns, "truth": integers(result["truth"])}, [""] * len(cells))


def by_puzzle(columns: dict[str, np.ndarray], names: list[str]) -> Table:
    """A row for each puzzle."""
    return list(columns), names, [list(panels) for panels in zip(*columns.values(), strict=True)]


def windows() -> Table:
    """Windows of growing size on one puzzle, and the exact probability that follows from each."""
    truth, hidden, (row, column) = far_puzzle()
    rows, columns = np.indices(truth.shape)
    distance = np.maximum(np.abs(rows - row), np.abs(columns - column))
    titles, panels = [], []
    for radius in WINDOWS:
        bound = WindowLimited(posterior(PRIOR), radius)
        white = bound.marginals(truth[None], hidden[None])[0, row, column, 1]
        whole = radius >= max(truth.shape) - 1
        name = "whole grid" if whole else f"{2 * radius + 1}×{2 * radius + 1}"
        titles.append(f"{name}: {white:.2f}")
        panels.append(np.where(hidden | (distance > radius), HIDDEN, truth))
    return titles, [""], [panels]


def training(name: str) -> Iterable[Table]:
    """The frames of a training: what is predicted for the puzzles as it goes on."""
    result = arrays("training")
    cells = integers(result[f"{name}_cells"])[IN_FILM]
    exact = at_hidden(result[f"{name}_exact"][IN_FILM], cells == HIDDEN)
    for seconds, white in zip(result[f"{name}_seconds"], result[f"{name}_white"], strict=True):
        model = at_hidden(white[IN_FILM], cells == HIDDEN)
        time = f"after {seconds:.0f} s" if seconds >= 10 else f"after {seconds:.1f} s"
        titles = [f"puzzle {number + 1}" for number in IN_FILM]
        yield titles, ["puzzle", time, "exact"], [list(cells), list(model), list(exact)]


def reveal() -> Iterable[Table]:
    """The frames of a fill, one cell at a time."""
    result = arrays("reveal")
    for cells, white, exact in zip(*(result[key] for key in ("cells", "white", "exact")), strict=True):
        hidden = cells == HIDDEN
        titles = [f"{int((~hidden).sum())} cells known", "white: model", "white: exact"]
        yield titles, [""], [[integers(cells), at_hidden(white, hidden), at_hidden(exact, hidden)]]


# Numbers


@cache
def texts() -> dict[str, str]:
    """The numbers and tables of the text, by name."""
    return {**of_comparison(saved("why-compare")), **of_influence(saved("why-influence")), **of_the_rest()}


def of_comparison(result: dict[str, Any]) -> dict[str, str]:
    texts: dict[str, str] = {
        "seconds": f"{60 * result['plan']['minutes']:.0f}",
        "puzzles": f"{result['plan']['puzzles']:,}",
        "seeds": str(len(result["plan"]["seeds"])),
        "bounds": table_of_bounds(result["priors"]),
        "least.parameters": f"{min(run['parameters'] for run in result['priors']['squares']['runs']):,}",
        "most.parameters": f"{max(run['parameters'] for run in result['priors']['squares']['runs']):,}",
        "version": result["version"],
    }
    for prior, of_prior in result["priors"].items():
        texts |= {f"{prior}.enough": str(of_prior["enough"]), f"{prior}.entropy": f"{of_prior['entropy_bits']:.3f}"}
        texts |= {f"{prior}.bound.{2 * r + 1}": f"{bits:.4f}" for r, bits in enumerate(of_prior["bound_bits"])}
        texts[f"{prior}.table"] = table_of_networks(of_prior["runs"])
        networks = by_network(of_prior["runs"])
        of_bert = mean(networks["bert"], "excess_bits")
        for network, runs in networks.items():
            excess = mean(runs, "excess_bits")
            texts[f"{prior}.{network}"] = f"{excess:.4f}"
            texts[f"{prior}.{network}.times"] = f"{excess / of_bert:.1f}"
            texts[f"{prior}.{network}.compared"] = "which is less" if excess < of_bert else "which is more"
        windowed = [run for run in of_prior["runs"] if run["bound_bits"] > 1e-6]
        nearest = min(windowed, key=lambda run: run["over_bound_bits"] / max(run["over_bound_error"], 1e-12))
        texts[f"{prior}.nearest"] = (
            f"{name_of(nearest['network'])}, {nearest['over_bound_bits']:.4f} ± {nearest['over_bound_error']:.4f} bits"
        )
    return texts


def table_of_bounds(priors: dict[str, Any]) -> str:
    """The bound of each receptive field, a line each."""
    lines = [f"| receptive field | {' | '.join(priors)} |", f"|---|{'---|' * len(priors)}"]
    for radius in range(max(len(one["bound_bits"]) for one in priors.values())):
        cells = (f"{one['bound_bits'][radius]:.4f} ± {one['bound_error'][radius]:.4f}" for one in priors.values())
        lines.append(f"| {2 * radius + 1} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table_of_networks(runs: list[dict[str, Any]]) -> str:
    """Figures of each network over its seeds, a line each."""
    lines = ["| network | parameters | steps | bound | excess bits | range over seeds | grids correct | radius |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for network, of_network in by_network(runs).items():
        excess = [run["excess_bits"] for run in of_network]
        figures = (
            f"{of_network[0]['parameters']:,}",
            f"{mean(of_network, 'steps'):,.0f}",
            f"{of_network[0]['bound_bits']:.4f}",
            f"{np.mean(excess):.4f}",
            f"{min(excess):.4f} … {max(excess):.4f}",
            f"{mean(of_network, 'right'):.1%}",
            f"{mean(of_network, 'field_radius'):.3g}",
        )
        lines.append(f"| {name_of(network)} | {' | '.join(figures)} |")
    return "\n".join(lines)


def mean(runs: list[dict[str, Any]], key: str) -> float:
    return float(np.mean([run[key] for run in runs]))


def of_influence(result: dict[str, Any]) -> dict[str, str]:
    texts = {"agreement": table_of_agreement(result)}
    for prior in ("squares", "mirror"):
        heads = np.array(result[prior]["heads"])
        layer, head = explaining.best_head(heads)
        texts |= {
            f"{prior}.cells": str(result[prior]["cells"]),
            f"{prior}.heads": table_of_heads(heads),
            **{
                f"{prior}.{name}.{measure}": f"{result[prior][who][measure]:.2f}"
                for name, who in (
                    ("model", "model"),
                    ("nearness", "nearness"),
                    ("mean_of_heads", "mean of heads"),
                    ("best_head", f"{layer}/{head}"),
                )
                for measure in MEASURES
            },
        }
    return texts


def table_of_agreement(result: dict[str, Any]) -> str:
    """How well each way to rank visible cells agrees with exact influence: a line each, three measures per prior."""
    priors = ("squares", "mirror")
    titles = [f"{prior}: {measure}" for prior in priors for measure in ("ranks", "linear", "first")]
    lines = [f"| ranked by | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for title in ("the model's influence", "attention, the best head", "attention, mean of heads", "nearness"):
        cells = [of_who(result[prior], title)[measure] for prior in priors for measure in MEASURES]
        lines.append(f"| {title} | {' | '.join(f'{value:.2f}' for value in cells)} |")
    return "\n".join(lines)


def of_who(result: dict[str, Any], title: str) -> dict[str, float]:
    layer, head = explaining.best_head(np.array(result["heads"]))
    who = {"the model's influence": "model", "attention, the best head": f"{layer}/{head}"}
    return result[who.get(title, title.removeprefix("attention, "))]


def table_of_heads(heads: np.ndarray) -> str:
    lines = [f"| layer | {' | '.join(f'head {head}' for head in range(heads.shape[1]))} |"]
    lines.append("|---" * (heads.shape[1] + 1) + "|")
    lines += [f"| {number} | {' | '.join(f'{one:z.2f}' for one in layer)} |" for number, layer in enumerate(heads)]
    return "\n".join(lines)


def of_the_rest() -> dict[str, str]:
    of_training, of_reveal, of_digits = saved("why-training"), saved("why-reveal"), saved("why-digits")
    return {
        "members": f"{len(PRIOR.members):,}",
        "side": str(PRIOR.height),
        "smallest": str(PRIOR.spec["smallest"]),
        "largest": str(PRIOR.spec["largest"]),
        "layers": str(BERT.depth),
        "width": str(BERT.embedding_size),
        "heads": str(BERT.depth * BERT.heads),
        "patch": str(BERT.patch),
        "digits.learned": f"{LEARNED_DIGITS:,}",
        "digits.minutes": f"{DIGIT_MINUTES:g}",
        **{f"{name}.minutes": f"{of_training[name]['minutes']:g}" for name in ("squares", "mirror")},
        **{f"{name}.trained": f"{of_training[name]['excess_bits']:.4f}" for name in ("squares", "mirror")},
        **{f"{name}.right": f"{of_training[name]['grids_all_determined_right']:.1%}" for name in ("squares", "mirror")},
        "reveal.hidden": str(of_reveal["hidden"]),
        "reveal.settled": str(of_reveal["until_all_is_determined"]),
        "digits.ece": f"{of_digits['expected_calibration_error']:.3f}",
    }
