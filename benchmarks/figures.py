"""What the article shows and says in numbers, all of it from the saved results of `why.py`."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from common import RESULTS
from gridcloze import explaining
from gridcloze.bert import BertConfig
from gridcloze.files.palettes import Palette
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
N_SAMPLES = 6
WINDOWS = (1, 3, 6, 15)  # radius of each that is shown
FRAMES_PER_SECOND = {"training": 12.0, "reveal": 1.5}


def saved(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text())


def arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(RESULTS / f"why-{name}.npz") as file:
        return dict(file)


def integers(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int64)


def floats(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Probabilities, NaN where there is no question."""
    return np.where(where, values.astype(float), np.nan)


# Pictures


def draw(folder: Path) -> None:
    """Every picture and film of the article, light and, where it is a picture, dark too."""
    priors, tables = saved("why-compare")["priors"], panels()
    for dark in (False, True):
        ending = "-dark" * dark
        write_bounds(folder / f"bounds{ending}.svg", priors, dark)
        write_reach(folder / f"reach{ending}.svg", priors, dark)
        write_fields(folder / f"fields{ending}.png", priors, dark)
        for name, (titles, names, rows) in tables.items():
            target = far_puzzle()[2] if name == "windows" else None
            write_panels(folder / f"{name}{ending}.png", titles, names, rows, PALETTE, dark, target)
        for name in ("squares", "mirror"):
            draw_explanation(folder, name, dark)
    films = {"training-squares": training("squares"), "training-mirror": training("mirror"), "reveal": reveal()}
    for name, frames in films.items():
        pictures = [frame(*one, PALETTE) for one in frames]
        for suffix in (".gif", ".mp4"):
            write_film(folder / f"{name}{suffix}", pictures, FRAMES_PER_SECOND[name.split("-")[0]])


def draw_explanation(folder: Path, name: str, dark: bool) -> None:
    """Why one cell has its law: influence of model and exact answer, the head that is best over all, and all heads."""
    found = {key.removeprefix(f"{name}_"): value for key, value in arrays("influence").items() if key.startswith(name)}
    cells, ending = integers(found["cells"]), "-dark" * dark
    row, column = found["target"].tolist()
    said = {
        who: explaining.Explanation(*(found[f"{who}_{what}"].astype(float) for what in ("marginals", "hide", "flip")))
        for who in ("model", "exact")
    }
    attention, correlations = found["attention"].astype(float), found["correlations"]
    path, over_all = folder / f"explanation-{name}{ending}.png", np.array(saved("why-influence")[name]["heads"])
    write_explanation(path, cells, (row, column), said, attention, over_all, PALETTE, dark)
    path = folder / f"heads-{name}{ending}.png"
    write_heads(path, attention, cells, (row, column), correlations, PALETTE, dark)


Table = tuple[list[str], list[str], list[list[np.ndarray]]]  # titles, names of rows, rows of panels


def panels() -> dict[str, Table]:
    """The pictures that are tables of grids."""
    of_training, of_digits = arrays("training"), arrays("digits")
    return {
        "cover": ([""] * 4, [""], [samples(4)]),
        "samples": ([""] * N_SAMPLES, ["", ""], [samples(N_SAMPLES, 1), samples(N_SAMPLES, 2)]),
        "windows": windows(),
        **{f"puzzles-{name}": puzzles(of_training, name) for name in ("squares", "mirror")},
        **{f"answers-{name}": answers(of_training, name) for name in ("squares", "mirror")},
        "digits": digits(of_digits),
    }


def samples(n: int, seed: int = 0) -> list[np.ndarray]:
    return list(PRIOR.sample(n, np.random.default_rng(seed)))


def puzzles(found: dict[str, np.ndarray], name: str) -> Table:
    cells = integers(found[f"{name}_cells"])
    return [str(number + 1) for number in range(len(cells))], [""], [list(cells)]


def answers(found: dict[str, np.ndarray], name: str) -> Table:
    cells, hidden = integers(found[f"{name}_cells"]), found[f"{name}_cells"] == HIDDEN
    model, exact = (floats(values, hidden) for values in (found[f"{name}_white"][-1], found[f"{name}_exact"]))
    rows = {"puzzle": cells, "white: model": model, "white: exact": exact, "truth": integers(found[f"{name}_truth"])}
    titles = [str(number + 1) for number in range(len(cells))]
    return titles, list(rows), [list(values) for values in rows.values()]


def digits(found: dict[str, np.ndarray]) -> Table:
    cells = integers(found["cells"])
    rows = {
        "puzzle": cells,
        "white: model": floats(found["white"], cells == HIDDEN),
        "fill": integers(found["fill"]),
        "truth": integers(found["truth"]),
    }
    return [""] * len(cells), list(rows), [list(values) for values in rows.values()]


def windows() -> Table:
    """What windows of growing size show of a puzzle, and what Bayes' rule makes of it."""
    truth, hidden, (row, column) = far_puzzle()
    rows, columns = np.indices(truth.shape)
    distance = np.maximum(np.abs(rows - row), np.abs(columns - column))
    titles, seen = [], []
    for radius in WINDOWS:
        law = WindowLimited(posterior(PRIOR), radius).marginals(truth[None], hidden[None])[0, row, column]
        whole = radius >= max(truth.shape) - 1
        name = "whole grid" if whole else f"{2 * radius + 1}×{2 * radius + 1}"
        titles.append(f"{name}: {law[1]:.2f}")
        seen.append(np.where(hidden | (distance > radius), HIDDEN, truth))
    return titles, [""], [seen]


def training(name: str) -> Iterable[Table]:
    """What is said of the puzzles as the training goes on."""
    found = arrays("training")
    cells = integers(found[f"{name}_cells"])
    exact = floats(found[f"{name}_exact"], cells == HIDDEN)
    for seconds, white in zip(found[f"{name}_seconds"], found[f"{name}_white"], strict=True):
        model = floats(white, cells == HIDDEN)
        time = f"after {seconds:.0f} s" if seconds >= 10 else f"after {seconds:.1f} s"
        yield [""] * len(cells), ["puzzle", time, "exact"], [list(cells), list(model), list(exact)]


def reveal() -> Iterable[Table]:
    """A fill, a cell at a time."""
    found = arrays("reveal")
    for cells, white, exact in zip(*(found[key] for key in ("cells", "white", "exact")), strict=True):
        hidden = cells == HIDDEN
        titles = [f"{int((~hidden).sum())} cells known", "white: model", "white: exact"]
        yield titles, [""], [[integers(cells), floats(white, hidden), floats(exact, hidden)]]


# Numbers


def texts() -> dict[str, str]:
    """The numbers and tables of the text, by name."""
    return {**of_comparison(saved("why-compare")), **of_influence(saved("why-influence")), **of_the_rest()}


def of_comparison(found: dict[str, Any]) -> dict[str, str]:
    said: dict[str, str] = {
        "seconds": f"{60 * found['plan']['minutes']:.0f}",
        "puzzles": f"{found['plan']['puzzles']:,}",
        "seeds": str(len(found["plan"]["seeds"])),
        "bounds": table_of_bounds(found["priors"]),
        "least.parameters": f"{min(run['parameters'] for run in found['priors']['squares']['runs']):,}",
        "most.parameters": f"{max(run['parameters'] for run in found['priors']['squares']['runs']):,}",
        "version": found["version"],
    }
    for prior, of_prior in found["priors"].items():
        said |= {f"{prior}.enough": str(of_prior["enough"]), f"{prior}.entropy": f"{of_prior['entropy_bits']:.3f}"}
        said |= {f"{prior}.bound.{2 * r + 1}": f"{bits:.4f}" for r, bits in enumerate(of_prior["bound_bits"])}
        said[f"{prior}.table"] = table_of_networks(of_prior["runs"])
        networks = by_network(of_prior["runs"])
        of_bert = mean(networks["bert"], "excess_bits")
        for network, runs in networks.items():
            excess = mean(runs, "excess_bits")
            said[f"{prior}.{network}"] = f"{excess:.4f}"
            said[f"{prior}.{network}.times"] = f"{excess / of_bert:.1f}"
            said[f"{prior}.{network}.compared"] = "which is less" if excess < of_bert else "which is more"
        windowed = [run for run in of_prior["runs"] if run["bound_bits"] > 1e-6]
        nearest = min(windowed, key=lambda run: run["over_bound_bits"] / max(run["over_bound_error"], 1e-12))
        said[f"{prior}.nearest"] = (
            f"{name_of(nearest['network'])}, {nearest['over_bound_bits']:.4f} ± {nearest['over_bound_error']:.4f} bits"
        )
    return said


def table_of_bounds(priors: dict[str, Any]) -> str:
    """A line for each receptive field."""
    lines = [f"| receptive field | {' | '.join(priors)} |", f"|---|{'---|' * len(priors)}"]
    for radius in range(max(len(one["bound_bits"]) for one in priors.values())):
        cells = (f"{one['bound_bits'][radius]:.4f} ± {one['bound_error'][radius]:.4f}" for one in priors.values())
        lines.append(f"| {2 * radius + 1} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table_of_networks(runs: list[dict[str, Any]]) -> str:
    """A line for each network, its seeds together."""
    lines = ["| network | parameters | steps | bound | excess bits | of the seeds | grids right | radius |"]
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


def of_influence(found: dict[str, Any]) -> dict[str, str]:
    said = {"agreement": table_of_agreement(found)}
    for prior in ("squares", "mirror"):
        heads = np.array(found[prior]["heads"])
        layer, head = explaining.best_head(heads)
        said |= {
            f"{prior}.cells": str(found[prior]["cells"]),
            f"{prior}.heads": table_of_heads(heads),
            **{
                f"{prior}.{name}.{measure}": f"{found[prior][who][measure]:.2f}"
                for name, who in (
                    ("model", "model"),
                    ("nearness", "nearness"),
                    ("mean_of_heads", "mean of heads"),
                    ("best_head", f"{layer}/{head}"),
                )
                for measure in MEASURES
            },
        }
    return said


def table_of_agreement(found: dict[str, Any]) -> str:
    """A line for each that ranks the visible cells, and for each prior three ways to agree."""
    priors = ("squares", "mirror")
    titles = [f"{prior}: {measure}" for prior in priors for measure in ("ranks", "linear", "first")]
    lines = [f"| | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for title in ("influence on the model", "attention, the best head", "attention, mean of heads", "nearness"):
        cells = [of_who(found[prior], title)[measure] for prior in priors for measure in MEASURES]
        lines.append(f"| {title} | {' | '.join(f'{value:.2f}' for value in cells)} |")
    return "\n".join(lines)


def of_who(found: dict[str, Any], title: str) -> dict[str, float]:
    layer, head = explaining.best_head(np.array(found["heads"]))
    who = {"influence on the model": "model", "attention, the best head": f"{layer}/{head}"}
    return found[who.get(title, title.removeprefix("attention, "))]


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
