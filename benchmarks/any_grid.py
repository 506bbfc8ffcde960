"""Writes docs/any-grid.md and its picture from what channels, landcover, digits, sudoku and scale.py found."""

import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

import channels
import landcover
import sudoku
import textures
from common import DOCS, RESULTS, Figures
from gridcloze import checkpoint
from gridcloze.files.palettes import Palette
from gridcloze.pictures import write_panels
from gridcloze.puzzles import Puzzles
from gridcloze.words import HIDDEN
from scale import DRAWS
from textures import slug

PAGE = DOCS / "any-grid.md"
MODEL = Path(__file__).parent.parent / "models" / "channels.safetensors"
SHOWN = 410  # the realisation in the picture
OF_LAWS = ("error", "bits_per_hidden_cell", "expected_calibration_error", "brier")
OF_SAMPLES = {
    "s per realisation": "seconds_per_realisation",
    "proportions": "proportions_error",
    "variogram": "variogram_error",
    "connectivity": "connectivity_error",
    "patterns, bits": "pattern_divergence_bits",
    "copied": "copied_share",
    "known kept": "known_cells_honoured",
    "peak MiB": "peak_MiB",
}


def result(name: str) -> Figures | None:
    """A result if there is one."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def results(task: str, names: Iterable[str]) -> dict[str, Figures]:
    """By name, the results there are of TASK-NAME."""
    every = {name: result(f"{task}-{slug(name)}") for name in names}
    return {name: found for name, found in every.items() if found is not None}


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    if len(lines) == 2:
        return "Not run."
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def laws(script: str, fillers: Iterable[str], conditions: Iterable[str]) -> str:
    """Error, bits, calibration error and Brier score of each who fills, by condition."""
    rows = [
        [name, *(_laws(found[condition]) for condition in conditions)]
        for name, found in results(f"{script}-conditions", fillers).items()
    ]
    return table(["", *conditions], rows)


def _laws(figures: Figures) -> str:
    if "skipped" in figures:
        return "skipped"
    error, *others = (figures[name] for name in OF_LAWS)
    return ", ".join([f"{error:.1%}", *(f"{value:.3f}" for value in others)])


def samples(found: dict[str, Figures]) -> str:
    """What is measured of samples of each who draws some."""
    rows = [
        [name, *(_number(figures[key]) for key in OF_SAMPLES.values())]
        for name, figures in found.items()
        if OF_SAMPLES["variogram"] in figures
    ]
    return table(["", *OF_SAMPLES], rows)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def of_condition(condition: str) -> dict[str, Figures]:
    return {name: found[condition] for name, found in results("channels-conditions", channels.DRAWERS).items()}


def by_class() -> str:
    """Calibration error of each class of land cover, by condition."""
    found = result("landcover-conditions-gridcloze") or {}
    codes = landcover.data.landcover()["codes"]
    rows = [
        [str(code), *(f"{found[condition]['by_class'][symbol]:.4f}" for condition in landcover.CONDITIONS)]
        for symbol, code in enumerate(codes)
        if found
    ]
    return table(["NLCD class", *landcover.CONDITIONS], rows)


TRAINED = {  # where the record of a training is kept
    **{f"channels, {name}": f"channels-model-{name}" for name in channels.IMAGES},
    "land cover": "landcover-model",
    "digits, coins": "digits-likelihood",
    "digits, black and white": "digits-halves",
    "Sudoku": "sudoku-36-clues",
}


def trainings() -> str:
    every = {name: result(record) for name, record in TRAINED.items()}
    records = {name: found.get("training", found) for name, found in every.items() if found is not None}
    rows = [
        [name, f"{found['seconds'] / 60:.0f} min", f"{found['steps']:,}", f"{found['peak_MiB']:.0f}"]
        for name, found in records.items()
    ]
    return table(["model", "trained", "steps", "peak MiB"], rows)


def nats() -> str:
    found, in_turn = result("digits-likelihood"), result("digits-in-turn")
    rows = [[name, f"{value:.2f}"] for name, value in (found or {}).get("published_nats", {}).items()]
    if found is not None:
        rows.append(["gridcloze, any order", _with_error(found["nats"])])
        rows.append(["of which are coin tosses", f"{found['nats_of_coins']:.2f}"])
    if in_turn is not None:
        rows.append(["gridcloze, one cell after the other, 100 digits", _with_error(in_turn["nats"])])
        rows.append(["by how much the estimate of any order is above on these", _with_error(in_turn["estimate_above"])])
    return table(["", "nats of a digit"], rows)


def _with_error(value: Figures) -> str:
    return f"{value['mean']:.2f} ± {value['standard_error']:.2f}"


def digits() -> str:
    """Laws under the test law, and of half digits."""
    coins, others = result("digits-likelihood"), result("digits-halves")
    found = {"coins": coins and coins["test_law"]}
    if others is not None:
        found |= {"black and white": others["test_law"]}
        found |= {f"black and white, {half} half given": others[half] for half in ("top", "left")}
    return table(["", "error, bits, calibration error, Brier"], [[name, _laws(of)] for name, of in found.items() if of])


def boards(kind: str) -> str:
    """Shares of puzzles that are solved, and passes."""
    defaults = result(f"sudoku-{kind}")
    rows = [
        [f"{order}, one cell a pass", *_solved(found), f"{sudoku.PUBLISHED[order]:.1%}"]
        for order, found in results(f"sudoku-{kind}", sudoku.PUBLISHED).items()
    ]
    if defaults is not None:
        rows += [[f"{name} budget", *_solved(defaults[key]), "–"] for name, key in WAYS.items()]
        rows.append(["`gridcloze fill`", f"{defaults['command']['solved']:.1%}", "–", "–", "–"])
    return table(["order", "most likely symbols", "drawn symbols", "passes", "published"], rows)


WAYS = {"weighted, default": "default", "margin, default": "margin, default budget"}


def _solved(figures: Figures) -> list[str]:
    likely, drawn = figures["likely"], figures["drawn"]
    return [f"{likely['solved']:.1%}", f"{drawn['solved']:.1%}", f"{likely['passes']:.1f}"]


def contradictions() -> str:
    found = result("sudoku-contradictions")
    if found is None:
        return "not run"
    return (
        f"`fill` warns of {found['warned']:.0%} of them, names the wrong given in {found['wrong_given_named']:.0%} and "
        f"nothing else in {found['only_wrong_given_named']:.0%}; of right puzzles it warns of "
        f"{found['right_puzzles_warned_of']:.0%}"
    )


def scale() -> str:
    found = result("scale-sizes") or {"fill": {}}
    rows = [
        [f"{side}²", *(_number(found[way][side][key]) for way in DRAWS for key in ("seconds", "peak_MiB"))]
        for side in found["fill"]
        if side != "exponent"
    ]
    titles = [f"{way}, {what}" for way in DRAWS for what in ("seconds", "peak MiB")]
    if rows:
        rows.append(["power", *(text for way in DRAWS for text in (f"{found[way]['exponent']:.2f}", ""))])
    return table(["cells", *titles], rows)


def page() -> str:
    text = Path(__file__).with_suffix(".md").read_text()
    seams = result("scale-seams") or {"across": float("nan"), "inside": float("nan")}
    parts = {
        "trainings": trainings(),
        "channels": laws("channels", channels.FILLERS, channels.CONDITIONS),
        **{f"samples {name}": samples(of_condition(name)) for name in channels.CONDITIONS},
        "strebelle": samples(results("channels-strebelle", channels.DRAWERS)),
        "landcover": laws("landcover", landcover.FILLERS, landcover.CONDITIONS),
        "by class": by_class(),
        "nats": nats(),
        "digits": digits(),
        **{f"sudoku {kind}": boards(kind) for kind in sudoku.KINDS},
        "contradictions": contradictions(),
        "scale": scale(),
        "seams": f"{seams['across']:.4f} bits across, {seams['inside']:.4f} inside",
    }
    for name, part in parts.items():
        text = text.replace(f"[[{name}]]", part)
    return text


def draw(picture: Path) -> None:
    """A realisation of channels that nobody showed the model in the repository, hidden in three ways, filled whole."""
    truth = channels.data.channels()["realizations"][SHOWN]
    model, generator = checkpoint.load(MODEL), np.random.default_rng(0)
    rows = []
    for hide in (partial(textures.all_but, 0.01), partial(textures.all_but, 0.05), partial(textures.hole, 64)):
        hidden = hide((1, *truth.shape), generator)
        law = model.marginals(truth[None], hidden)[0, ..., 1]
        draws = filling.sample(model, Puzzles(truth[None], hidden), 2).cells[0]
        rows.append([np.where(hidden[0], HIDDEN, truth), law, *draws, truth])
    titles = ["known", "probability of channel", "draw 1", "draw 2", "truth"]
    write_panels(picture, titles, ["1 % known", "5 % known", "a hole"], rows, Palette.default(2))


if __name__ == "__main__":
    PAGE.write_text(page())
    draw(DOCS / "any-grid.png")
