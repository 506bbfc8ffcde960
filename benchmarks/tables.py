"""The tables and derived numbers of README, docs and models, each from files in benchmarks/results."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from statistics import fmean
from typing import Any

import channels
import decoders
import few
import landcover
import side
import sudoku
import toys
from common import MODELS, RESULTS, Figures, table
from gridcloze.priors.known import make_toy
from gridcloze.scale import Blocks, Question
from gridcloze.study.charts import by_network, name_of
from scale import BY_WORKERS, DRAWS, SAMPLES
from textures import slug

SECONDS = "seconds_per_realisation"
LARGE_SIDE, NATIONAL_SIDE, WORKERS_OF_A_PLAN = 8_192, 100_000, (16, 128, 1024)
TITLES_OF_SAMPLES = {
    "s per sample": SECONDS,
    "proportions": "proportions_error",
    "variogram": "variogram_error",
    "connectivity": "connectivity_error",
    "patterns, bits": "pattern_divergence_bits",
    "copied": "copied_share",
    "known cells kept": "known_cells_honoured",
    "peak MiB": "peak_MiB",
}


@cache
def result(name: str) -> Figures:
    """The content of a result file."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def results(task: str, names: Iterable[str]) -> dict[str, Figures]:
    """By name, the results of TASK-NAME, leaving out those that were not run."""
    return {name: result(f"{task}-{slug(name)}") for name in names if (RESULTS / f"{task}-{slug(name)}.json").exists()}


def number(value: float | None) -> str:
    """Three digits, or more before the point."""
    return "–" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


@cache
def texts() -> dict[str, str]:
    """All of them, by the names that templates use."""
    return {
        **of_toys(),
        **of_textures(),
        **of_digits(),
        **of_boards(),
        **of_comparison(),
        **of_speed(),
        **of_scale(),
        **of_side(),
        **of_studio(),
        **of_models(),
    }


# Toys


def of_toys() -> dict[str, str]:
    checks = [result("trust-check")[f"{flips} flipped"] for flips in (1, 2, 3)]
    measured = result("decoders")["decoders"]
    reference = measured["one random cell"]["total_variation"]
    rows = [
        [
            f"**{name}**" if name == decoders.DEFAULT else name.replace("draws", "samples"),
            f"{row['passes']:.1f}",
            f"{row['passes_95th_percentile']:.0f}",
            f"{row['legal']:.1%}",
            f"{row['total_variation']:.3f}",
            f"{row['total_variation'] / reference:.2f}",
        ]
        for name, row in measured.items()
    ]
    titles = ["decoder", "passes, mean", "95th percentile", "legal", "TV", "TV ÷ one random cell"]
    return {
        **{f"trust.{rate}": f"{min(one[rate] for one in checks):.0%}" for rate in ("precision", "recall")},
        "toys.table": toys.table(),
        "few.table": few.table(),
        "toys.stripes": f"{len(make_toy('stripes', height=16, width=16).members):,}",
        "decoders.table": table(titles, rows),
        "decoders.default": decoders.DEFAULT,
    }


# Channels, land cover, large maps


def of_textures() -> dict[str, str]:
    drawers = results("channels-conditions", channels.DRAWERS)
    ours, theirs = drawers["gridcloze from realisations"], drawers["MPSlib GENESIM"]
    times = {at: theirs[at][SECONDS] / ours[at][SECONDS] for at in channels.CONDITIONS}
    land_cover = result("landcover-conditions-gridcloze")
    return {
        "channels.summary": channels_summary(),
        "channels.quality": channels_quality(),
        "channels.scores": scores("channels", channels.FILLERS, channels.CONDITIONS),
        **{
            f"channels.samples {at}": samples({name: figures[at] for name, figures in drawers.items()})
            for at in channels.CONDITIONS
        },
        **{f"channels.times {at}": f"{value:.0f}" for at, value in times.items()},
        "strebelle.summary": strebelle_summary(),
        "strebelle.samples": samples(results("channels-strebelle", channels.DRAWERS)),
        "landcover.summary": landcover_summary(),
        "landcover.scores": scores("landcover", landcover.FILLERS, landcover.CONDITIONS),
        "landcover.by_class": calibration_by_class(land_cover),
        "landcover.worst_calibration": f"{max(_calibration(land_cover[at]) for at in landcover.CONDITIONS):.3f}",
        "scale.table": scale(),
        "scale.GiB": f"{result('scale-sizes')['fill']['4096']['peak_MiB'] / 1024:.1f}",
        "trainings.table": trainings(),
    }


SUMMARISED = {
    "gridcloze from realisations": "**gridcloze**",
    "gridcloze from image": "**gridcloze**, one image",
    "MPSlib GENESIM": "MPSlib GENESIM",
    "MPSlib SNESIM": "MPSlib SNESIM",
    "nearest cell": "nearest cell",
    "KNNImputer": "KNNImputer",
    "lookup": "lookup",
}


def channels_summary() -> str:
    """Error and bits by condition, and seconds of a sample with 1% of the cells known."""
    every = results("channels-conditions", SUMMARISED)
    rows = [
        [
            title,
            *(f"{every[name][at]['error']:.1%}, {_bits(every[name][at]):.3f}" for at in channels.CONDITIONS),
            _seconds(every[name]["1 %"].get(SECONDS)),
        ]
        for name, title in SUMMARISED.items()
    ]
    return table(["", *map(_condition, channels.CONDITIONS), "s"], rows)


def channels_quality() -> str:
    """What samples look like with 1% of the cells known."""
    drawers = ("gridcloze from realisations", "gridcloze from image", "MPSlib GENESIM", "MPSlib SNESIM")
    shown = {name: SUMMARISED[name] for name in drawers} | {channels.TRUTH: channels.TRUTH}
    every = results("channels-conditions", shown)
    rows = [
        [
            title,
            *(f"{every[name]['1 %'][f'{measure}_error']:.3f}" for measure in ("connectivity", "variogram")),
            f"{every[name]['1 %']['pattern_divergence_bits']:.4f}",
        ]
        for name, title in shown.items()
    ]
    return table(["", "connectivity", "variogram", "4×4 patterns, bits"], rows)


def strebelle_summary() -> str:
    """Error, bits, time and quality of samples of those that draw any."""
    drawers = ("gridcloze from strebelle", "MPSlib GENESIM", "MPSlib SNESIM")
    rows = [
        [
            name.replace("gridcloze from strebelle", "**gridcloze**"),
            f"{one['error']:.1%}",
            f"{_bits(one):.3f}",
            _seconds(one[SECONDS]),
            *(f"{one[f'{measure}_error']:.3f}" for measure in ("connectivity", "variogram")),
            f"{one['pattern_divergence_bits']:.3f}",
        ]
        for name, one in results("channels-strebelle", drawers).items()
    ]
    return table(["", "error", "bits", "s per sample", "connectivity", "variogram", "4×4 patterns, bits"], rows)


def landcover_summary() -> str:
    """Error and bits in single cells and holes."""
    every = results("landcover-conditions", ("gridcloze", "four neighbours", "nearest cell"))
    rows = [
        [
            name.replace("gridcloze", "**gridcloze**"),
            *(f"{one[at]['error']:.1%}, {_bits(one[at]):.3f}" for at in ("one cell", "8×8")),
        ]
        for name, one in every.items()
    ]
    return table(["", "single cells: error, bits", "8×8 holes: error, bits"], rows)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if value >= 0.01 else f"{value:.1g}"


def _condition(name: str) -> str:
    """The title of a column: "8×8" is a hole, "1 %" how much is known."""
    return f"{name.replace(' %', '%')} known" if "%" in name else f"{name} hole" if "×" in name else name


def scores(script: str, fillers: Iterable[str], conditions: Iterable[str]) -> str:
    """Error, bits, calibration error and Brier score of each method, by condition."""
    every = results(f"{script}-conditions", fillers)
    rows = [[name, *(_scores(figures[at]) for at in conditions)] for name, figures in every.items()]
    return table(["", *map(_condition, conditions)], rows)


def _scores(figures: Figures) -> str:
    others = (_bits(figures), _calibration(figures), figures["brier"])
    return ", ".join([f"{figures['error']:.1%}", *(f"{value:.3f}" for value in others)])


def _bits(figures: Figures) -> float:
    return figures["bits_per_hidden_cell"]


def _calibration(figures: Figures) -> float:
    return figures["expected_calibration_error"]


def samples(every: Mapping[str, Figures]) -> str:
    """What is measured of the samples of each method that draws some."""
    rows = [
        [name, *(number(figures[key]) for key in TITLES_OF_SAMPLES.values())]
        for name, figures in every.items()
        if "variogram_error" in figures
    ]
    return table(["", *TITLES_OF_SAMPLES], rows)


def calibration_by_class(measured: Figures) -> str:
    """Calibration error of each class of land cover, by condition."""
    codes = landcover.data.landcover()["codes"]
    rows = [
        [str(code), *(f"{measured[at]['by_class'][symbol]:.4f}" for at in landcover.CONDITIONS)]
        for symbol, code in enumerate(codes)
    ]
    return table(["NLCD class", *map(_condition, landcover.CONDITIONS)], rows)


def scale() -> str:
    """Seconds and memory of filling one map, by its size and with or without a sample."""
    measured = result("scale-sizes")
    sides = [side for side in measured["fill"] if side != "exponent"]
    rows = [
        [f"{side}²", *(number(measured[way][side][key]) for way in DRAWS for key in ("seconds", "peak_MiB"))]
        for side in sides
    ]
    rows.append(["power", *(text for way in DRAWS for text in (f"{measured[way]['exponent']:.2f}", ""))])
    ways = [way.replace("draw", "sample") for way in DRAWS]
    return table(["cells", *(f"{way}, {what}" for way in ways for what in ("seconds", "peak MiB"))], rows)


def of_scale() -> dict[str, str]:
    """What several processes cost, and what a map of 10^10 cells would."""
    measured, store, scheduler, large = (result(f"scale-{name}") for name in ("workers", "store", "scheduler", "large"))
    rows = [
        [name, f"{one['seconds']:.0f}", f"{one['cells_a_second']:,.0f}", f"{one['peak_MiB']:.0f}"]
        for name, one in ((name, measured[name]) for name in BY_WORKERS)
    ]
    rate, blocks = measured["one worker"]["cells_a_second"], Blocks((NATIONAL_SIDE, NATIONAL_SIDE), (64, 64))
    hours = lambda a_second: f"{NATIONAL_SIDE**2 / a_second / 3600:,.1f}"  # noqa: E731
    question = Question(blocks, (0,), range(-1, SAMPLES))
    n_blocks, tasks = len(list(blocks)), len(question.together) * len(list(blocks))
    work = {
        "copy the map into the store": hours(store["copied_a_second"]),
        **{f"fill and sample with {n:,} workers": hours(n * rate) for n in WORKERS_OF_A_PLAN},
        f"hand out {tasks:,} tasks": hours(NATIONAL_SIDE**2 / tasks * scheduler["tasks_a_second"]),
        "write the GeoTIFFs": hours(store["written_a_second"]),
    }
    of_block = NATIONAL_SIDE**2 / rate / tasks
    peaks = (
        f"{large[f'{side}, two workers']['worker_peak_MiB']:.0f} MiB for {side:,}×{side:,} cells"
        for side in large["sides"]
    )
    of_large = {name: large[f"{large['sides'][-1]}, {name}"] for name in ("one process", "two workers")}
    columns = ("seconds", "core_seconds", "peak_MiB", "worker_peak_MiB")
    return {
        "scale.large": table(
            ["", "seconds", "seconds of all cores", "peak MiB of the command", "of a worker"],
            (
                [name, *("" if column not in one else f"{one[column]:,.0f}" for column in columns)]
                for name, one in of_large.items()
            ),
        ),
        "scale.side": f"{large['sides'][-1]:,}",
        "scale.large hours": " and ".join(
            f"{one['seconds'] * (LARGE_SIDE / large['sides'][-1]) ** 2 / 3600:.1f} by {name}"
            for name, one in of_large.items()
        ),
        "scale.workers": table(["", "seconds", "cells a second", "peak MiB of a process"], rows),
        "scale.alone": f"{measured['one process']['cells_a_second'] / measured['two workers']['cells_a_second']:.1f}",
        "scale.blocks": f"{n_blocks:,}",
        "scale.plan": table(["", "hours"], work.items()),
        "scale.block seconds": f"{of_block:.1f}",
        "scale.most workers": f"{scheduler['tasks_a_second'] * of_block:,.0f}",
        "scale.peaks": " and at ".join(peaks),
    }


def of_studio() -> dict[str, str]:
    """What the page takes next to Python, and how the server bears up."""
    measured = result("studio-budgets")
    names = {"squares": "squares 16×16", "digits": "digits 28×28", "channels": "channels 64×64"}
    rows = {  # what, in which result, as a share of it, with how many decimals
        "one file with page and model, MB": ("single_file_bytes", 1e-6, 1),
        "opening to the first answer, s": ("opening_to_first_answer_ms", 1e-3, 1),
        "a forward pass, ms": ("pass_ms", 1, 1),
        "the same in Python, ms": ("pass_ms_python", 1, 1),
        "samples": ("samples", 1, 0),
        "to draw them, s": ("samples_ms", 1e-3, 1),
        "the same in Python, s": ("samples_ms_python", 1e-3, 1),
        "longest frame meanwhile, ms": ("longest_frame_ms", 1, 0),
    }
    return {
        "studio.table": table(
            ["", *names.values()],
            (
                [what, *(f"{share * measured[name][key]:.{decimals}f}" for name in names)]
                for what, (key, share, decimals) in rows.items()
            ),
        ),
        "studio.script": f"{measured['own_script_gzip_bytes'] / 1e3:.1f}",
        "studio.answered": f"{result('studio-load')['statuses']['200']:,}",
    }


def of_side() -> dict[str, str]:
    """What side maps are worth: on toys, on land cover, on channels; and what they cost."""
    toys_of_side = {name: result(f"side-{name}") for name in side.TOYS}
    cover = {name: result(f"side-landcover-{name}") for name in side.SUBSETS}
    peers, titles = result("side-landcover-peers"), list(map(_side_condition, side.CONDITIONS))
    named = {"none": "without", "year": "map of ten years ago", "elevation": "elevation", "both": "both"}
    rows = [
        [f"gridcloze, {named[name]}", *(f"{one[at]['error']:.1%}, {_bits(one[at]):.3f}" for at in side.CONDITIONS)]
        for name, one in cover.items()
    ]
    forest = [peers[at]["random forest"] for at in side.CONDITIONS]
    rows.append(["random forest, both", *(f"{one['error']:.1%}, {_bits(one):.3f}" for one in forest)])
    before = "class of ten years ago"
    rows.append([before, *(f"{peers[at][before]:.1%}" for at in side.CONDITIONS)])
    measured = result("side-speed")
    return {
        "side.deviation": f"{side.DEVIATION}",
        "side.toys": table(
            ["side map", "minutes", "steps", "excess bits, all hidden", "part hidden", "worth in bits, part hidden"],
            (
                [
                    name,
                    f"{one['training']['minutes']:g}",
                    f"{one['training']['steps']:,}",
                    *(f"{one[at]['excess_bits']:.4f}" for at in ("all", "mix")),
                    f"{one['mix']['worth']:.4f} ± {one['mix']['standard_error']:.4f}",
                ]
                for name, one in toys_of_side.items()
            ),
        ),
        "side.landcover": table(["", *titles], rows),
        "side.bias": ", ".join(
            f"{one[side.OVER_HIGH_GROUND]['bias_of_shares']:.3f} {named[name]}" for name, one in cover.items()
        ),
        "side.channels": table(
            ["", "error of samples", "bits", "4×4 patterns, bits", "connectivity"],
            (
                [
                    name,
                    f"{one['error_of_samples']:.1%}",
                    f"{_bits(one):.3f}",
                    f"{one['pattern_divergence_bits']:.4f}",
                    f"{one['connectivity_error']:.3f}",
                ]
                for name, one in _side_channels().items()
            ),
        ),
        "side.speed": table(
            ["side maps", "ms a training step", "ms a sample", "peak MiB"],
            (
                [
                    number,
                    f"{1000 * measured[number]['seconds_a_step']:.0f}",
                    f"{1000 * measured[number]['seconds_a_sample']:.1f}",
                    f"{measured[number]['peak_memory_bytes'] / 2**20:,.0f}",
                ]
                for number in map(str, side.CHANNELS_OF_SPEED)
            ),
        ),
    }


def _side_condition(name: str) -> str:
    return name.replace(" %", "% known").replace("8×8", "8×8 hole")


def _side_channels() -> dict[str, Figures]:
    ours = {"gridcloze, without": result("side-channels-none"), "gridcloze, map of sand": result("side-channels-sand")}
    theirs = result("side-channels-mpslib")
    return ours | {name: one for name, one in theirs.items() if name.endswith(", without")}  # LOG.md: not its soft data


TRAINED = {  # which file has the record of a training
    **{f"channels, {name}": f"channels-model-{name}" for name in channels.IMAGES},
    "land cover": "landcover-model",
    "digits, grey": "digits-likelihood",
    "digits, black and white": "digits-halves",
    "Sudoku": "sudoku-36-clues",
}


def trainings() -> str:
    records = {name: result(file).get("training", result(file)) for name, file in TRAINED.items()}
    rows = [
        [name, f"{one['seconds'] / 60:.0f} min", f"{one['steps']:,}", f"{one['peak_MiB']:,.0f}"]
        for name, one in records.items()
    ]
    return table(["model", "trained", "steps", "peak MiB"], rows)


# Digits


def of_digits() -> dict[str, str]:
    grey, in_turn, plain = result("digits-likelihood"), result("digits-in-turn"), result("digits-halves")
    nats = {name: f"{value:.2f}" for name, value in grey["published_nats"].items()} | {
        "gridcloze, any order": _with_error(grey["nats"]),
        "of which are coin tosses": f"{grey['nats_of_coins']:.2f}",
        "gridcloze, one cell after the other, 100 digits": _with_error(in_turn["nats"]),
        "how much higher the any-order estimate is on these": _with_error(in_turn["estimate_above"]),
    }
    if "mixture_nats" in in_turn:  # results of version 0.2 have one order only
        nats[f"gridcloze, mixture of {in_turn['orders']} orders, 100 digits"] = _with_error(in_turn["mixture_nats"])
        nats["how much lower the mixture is than the mean over orders"] = _with_error(in_turn["mixture_below"])
    halves = {f"black and white, {half} half visible": plain[half] for half in ("top", "left")}
    every = {"grey": grey["test_law"], "black and white": plain["test_law"], **halves}
    return {
        "digits.nats": table(["", "nats per digit"], nats.items()),
        "digits.scores": table(
            ["", "error, bits, calibration error, Brier"], [[name, _scores(one)] for name, one in every.items()]
        ),
    }


def _with_error(value: Figures, form: str = ".2f") -> str:
    return f"{value['mean']:{form}} ± {value['standard_error']:{form}}"


# Sudoku

BUDGETS = {"weighted, default": "default", "margin, default": "margin, default budget"}
ORDERS = {"random": "any cell (random)", "certain": "most certain cell first", "margin": "largest margin first"}


def of_boards() -> dict[str, str]:
    rows = [
        [
            title,
            *(f"{result(f'sudoku-{kind}-{order}')['likely']['solved']:.1%}" for kind in sudoku.KINDS),
            f"{sudoku.PUBLISHED[order]:.1%}",
        ]
        for order, title in ORDERS.items()
    ]
    command = [f"{result(f'sudoku-{kind}')['command']['solved']:.1%}" for kind in sudoku.KINDS]
    rows.append(["`gridcloze fill`, in few passes", *command, "–"])
    return {
        "sudoku.summary": table(["", "36 clues", "minimal", "published"], rows),
        **{f"sudoku.{kind}": boards(kind) for kind in sudoku.KINDS},
    }


def boards(kind: str) -> str:
    """Shares of puzzles that are solved, and passes."""
    defaults = result(f"sudoku-{kind}")
    rows = [
        [f"{order}, one cell a pass", *_solved(measured), f"{sudoku.PUBLISHED[order]:.1%}"]
        for order, measured in results(f"sudoku-{kind}", sudoku.PUBLISHED).items()
    ]
    rows += [[f"{name} budget", *_solved(defaults[key]), "–"] for name, key in BUDGETS.items()]
    rows.append(["`gridcloze fill`", f"{defaults['command']['solved']:.1%}", "–", "–", "–"])
    return table(["order", "most likely symbols", "sampled symbols", "passes", "published"], rows)


def _solved(figures: Figures) -> list[str]:
    likely, drawn = figures["likely"], figures["drawn"]
    return [f"{likely['solved']:.1%}", f"{drawn['solved']:.1%}", f"{likely['passes']:.1f}"]


# Networks with a window


def of_comparison() -> dict[str, str]:
    priors = result("why-compare")["priors"]
    networks = {name: by_network(prior["runs"]) for name, prior in priors.items()}
    rows = [
        [
            _network(name),
            *(
                text
                for prior in networks.values()
                for text in (f"{prior[name][0]['bound_bits']:.4f}", f"{_mean_excess(prior[name]):.4f}")
            ),
        ]
        for name in COMPARED
    ]
    titles = [f"{prior}: {what}" for prior in priors for what in ("bound", "excess")]
    windowed = [run for prior in priors.values() for run in prior["runs"] if run["bound_bits"] > 1e-6]
    nearest = min(run["over_bound_bits"] / max(run["over_bound_error"], 1e-12) for run in windowed)
    return {"compare.table": table(["", *titles], rows), "compare.nearest": f"{nearest:.0f}"}


COMPARED = (*(f"cnn-{side}" for side in (3, 7, 13, 17, 25, 33)), "dilated", "unet", "fourier", "bert")


def _network(name: str) -> str:
    if name.startswith("cnn-"):
        side = name.removeprefix("cnn-")
        return f"residual CNN, {side} × {side} cells"
    return {"dilated": "dilated convolutions", "fourier": "Fourier convolutions", "bert": "**BERT**"}.get(
        name, name_of(name)
    )


def _mean_excess(runs: Sequence[Figures]) -> float:
    return fmean(run["excess_bits"] for run in runs)


# Speed


def of_speed() -> dict[str, str]:
    return {
        "speed.records": speed_records(),
        "speed.curve": table(
            ["minutes", "steps", "excess bits", "grids correct"],
            [
                [f"{at['minutes']:.0f}", f"{at['steps']:,}", f"{at['excess_bits']:.4f}", f"{at['right']:.2%}"]
                for at in result("speed-reference")["curve"]
            ],
        ),
        "speed.steps": speed_steps(),
        "speed.fills": speed_fills(),
        "speed.growth": speed_growth(),
    }


def speed_records() -> str:
    now = result("speed-target")
    last = {"seconds": now["seconds"], **now["mean"], "commit": now["commit"], "change": CHANGE}
    rows = [
        [
            f"{one['seconds']:g}",
            f"{one['excess_bits']:.4f}",
            f"{one['right']:.2%}",
            one["commit"],
            one["change"],
        ]
        for one in (*result("speed-records")["records"], last)
    ]
    return table(["seconds", "excess bits", "grids correct", "commit", "what made it possible"], rows)


CHANGE = "targets from a pool of examples, rotated values, a narrower feed-forward network, Muon 0.01, fewer copies"


def speed_steps() -> str:
    """Speed and parts of a training step, and how much longer the peers take, by the width of the model."""
    widths = {name: one for name, one in result("speed-step").items() if name.startswith("width")}
    first = next(iter(widths.values()))
    peers = [peer for peer in first["times_as_long"] if peer != "ours"]

    def row(title: str, value: Any) -> list[str]:
        return [title, *(value(one) for one in widths.values())]

    rows = [
        row("grids per second", lambda one: f"{one['grids_per_second']:,.0f}"),
        row(
            "share of the machine's rate of bfloat16 matrix products",
            lambda one: f"{one['share_of_bf16_products']['median']:.1%}",
        ),
        *(
            row(f"share of a step: {part}", lambda one, part=part: f"{one['parts_of_a_step'][part]:.1%}")
            for part in first["parts_of_a_step"]
        ),
        *(row(f"{peer}: times as long", lambda one, peer=peer: _ratio(one["times_as_long"][peer])) for peer in peers),
    ]
    return table(["", *widths], rows)


def _ratio(summary: Figures) -> str:
    return "{median:.2f} ({least:.2f}…{most:.2f})".format(**summary)


def speed_fills() -> str:
    rows = [
        [
            name,
            f"{one['fills_per_second']:,.0f}",
            f"{one['marginals_per_second']:,.0f}",
            "{mean:.1f} ({median:.1f})".format(**one["milliseconds_of_one_grid"]),
            f"{one['passes']:.2f}",
            f"{one['legal']:.2%}",
            f"{one['excess_bits']:.4f}",
        ]
        for name, one in result("speed-fill").items()
        if isinstance(one, dict)
    ]
    titles = (
        "fills per second",
        "marginals per second",
        "one grid, ms: mean (median)",
        "passes",
        "legal",
        "excess bits",
    )
    return table(["", *titles], rows)


def speed_growth() -> str:
    grown = result("speed-growth")
    columns = grown["milliseconds_a_grid"]
    rows = [
        [f"{round(cells**0.5)}²", str(patch), *(f"{value:.2f}" for value in values)]
        for cells, patch, *values in zip(grown["cells"], grown["patch"], *columns.values(), strict=True)
    ]
    rows.append(["power", "", *(f"{grown['exponents'][name]:.2f}" for name in columns)])
    return table(["cells", "default patch", *columns], rows)


# Models that are in the repository


def of_models() -> dict[str, str]:
    paths = [*MODELS.glob("*.onnx"), *MODELS.glob("*.safetensors")]  # of a model that is there as both, the latter
    sizes = {f"models.{path.stem}.MiB": f"{path.stat().st_size / 2**20:.1f}" for path in paths}
    every = result("channels-conditions-gridcloze-from-realisations")
    of_channels = [f"{_condition(at)} {every[at]['error']:.1%}, {_bits(every[at]):.3f}" for at in channels.CONDITIONS]
    titles = {"test_law": "evaluation mixture", "top": "top half visible", "left": "left half visible"}
    digits = result("digits-halves")
    of_digits = [
        f"{title} {digits[key]['error']:.1%}, {_bits(digits[key]):.3f}, {_calibration(digits[key]):.1g}"
        for key, title in titles.items()
    ]
    return sizes | {"models.channels.scores": "; ".join(of_channels), "models.digits.scores": "; ".join(of_digits)}
