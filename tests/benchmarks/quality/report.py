"""The results as tables, on the terminal and in Markdown, and as plots.

Of each split there are a table and a plot of accuracy against training time; of the learning curve, a table
and a plot of accuracy against the number of training ratings; of the presets, how near what is served comes
to the training graph.
"""

import collections
import dataclasses
import importlib.metadata
import io
import itertools
import platform
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import adjustText
import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from components.model_report import style
from components.ratings_example_gen.config import ExampleGenConfig, SplitMethod
from components.serving_validator.config import ServingValidatorConfig
from serving import versions
from tests.benchmarks.quality import ranking_metrics, rating_metrics
from tests.benchmarks.quality.baseline import FOLDER
from tests.benchmarks.quality.lead import OVERALL_NO_MOMENT, Leads
from tests.benchmarks.quality.model import NO_MOMENT, PRESET, SECOND
from tests.benchmarks.quality.protocols import LAST, PROTOCOLS, SHARES, SIZE
from tests.benchmarks.quality.results import Result
from tests.benchmarks.quality.slices import IDS, OVERALL, ROWS

PAGE, CURVE = "report.md", "learning-curve.svg"
PLOTS = {split: f"accuracy-{split}.svg" for split in PROTOCOLS if split not in SHARES}

_MEGABYTE = 1e6
_MARKERS = "osD^vP*X"
_TAB20 = [mpl.colormaps["tab20"](place) for place in range(20)]
_COLORS = _TAB20[::2] + _TAB20[1::2]  # the strong ones first
_HOW = {
    SplitMethod.RANDOM.value: "Test rows are a tenth of the ratings, drawn at random once. A model that is "
    "told the moment of a test row, as the sampled presets are to the second and `myfm-day`, `myfm-short` "
    "and `myfm-ordered` to the day, makes use of the same user's ratings on both sides of it, later ones "
    "included, which no question in service has.",
    SplitMethod.TIME.value: "Test rows are the last tenth of the ratings by time. No model is fitted to what "
    "comes later, as in service.",
    LAST: "The last rating of each user is held out. Each user asked about has every movie put in order, "
    "but for those rated before. A sampled preset is told the moment of the rating held out, most often "
    "seconds after the one before it, and goes on where the user was; without a moment it puts first what "
    "is chosen after a pause, as it does in service where the ratings to fit are not of the same hour.",
}
_CURVE = (
    "RMSE on the test rows of the random split, of models that were fitted on a share of its other rows; "
    "100% are what the table of the random split says. A dash: not measured, or the Evaluator of the "
    "pipeline let no such model through. In the plot, baselines are dashed."
)
_CURVE_TITLE = "RMSE on the random split against ratings to fit"
_LEAD = (
    "By how much the {figure} of the others is {worse}, of the test rows of all seeds together; in brackets, "
    "what holds 95% of the leads when the users are drawn anew, each with all of their rows, or for cold "
    "movies the movies. Where that holds 0, the lead may be chance."
)
_LEAD_NO_MOMENT = (
    "No moment: the sampled presets are asked without one; baselines that use the day have it all the same."
)
_SERVED = (
    "Each version that a preset pushed was loaded into a Session, as TensorFlow Serving loads it. Over all "
    "versions, the largest difference there of any rating from that of the training graph, by every "
    f"signature, on {ServingValidatorConfig().rows:,} raw test rows, and of any score of `rank` from that of "
    "the trained order:"
)
_PRESETS, _OTHERS = "presets of this project", "baselines"
_OWNERS = {_PRESETS: ("o", "tab:blue"), _OTHERS: ("s", "dimgray")}  # their markers and colors
_PROJECT, _BASELINES = ("tensorflow", "keras", "numba"), ("scikit-surprise", "myfm", "deepctr", "implicit")


@dataclasses.dataclass(frozen=True)
class Column:
    """One figure: its heading, where it stands in a result, and its decimals."""

    heading: str
    figure: Callable[[Result], Any]
    decimals: int

    def values(self, results: Iterable[Result]) -> list[float]:
        """Return the figure of each seed that has one."""
        return [value for result in results if (value := self.figure(result)) is not None]

    def over_seeds(self, results: Iterable[Result]) -> float:
        """Return the mean over the seeds."""
        return float(np.mean(self.values(results)))

    def spread(self, results: Iterable[Result]) -> float:
        """Return the standard deviation over the seeds, 0 if there is one seed."""
        values = self.values(results)
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def text(self, results: list[Result], *, spread: bool = True) -> str:
        """Return the figure over the seeds; with the standard deviation if that is wanted and not 0."""
        if not self.values(results):
            return "-"
        whole, deviation = (
            f"{v:,.{self.decimals}f}" for v in (self.over_seeds(results), self.spread(results))
        )
        return f"{whole} ± {deviation}" if spread and float(deviation.replace(",", "")) else whole


class Time(Column):
    """A time: that of the fastest seed, since whatever else a machine does only adds to it."""

    def over_seeds(self, results: Iterable[Result]) -> float:
        """Return the least over the seeds."""
        return min(self.values(results))

    def spread(self, results: Iterable[Result]) -> float:
        """Return 0: the other seeds tell of the machine."""
        return 0.0


def _metric(metric: str, part: str = OVERALL, moment: str = SECOND) -> Callable[[Result], Any]:
    def figure(result: Result) -> Any:
        judged = result.judgements.get(moment)
        return judged and judged.metrics[part][metric]

    return figure


RMSE = Column("RMSE", _metric(rating_metrics.RMSE), 4)
TRAINING = Time("s training", lambda result: result.cost["train_seconds"], 1)
COSTS = (
    TRAINING,
    Column("MB", lambda result: result.cost["model_bytes"] / _MEGABYTE, 1),
    Time("ms a 1,000", lambda result: result.cost["predict_ms"], 1),
)
RATINGS = (
    RMSE,
    *(Column(f"RMSE, {part}", _metric(rating_metrics.RMSE, part), 4) for part in rating_metrics.COLD),
    Column("RMSE, no moment", _metric(rating_metrics.RMSE, moment=NO_MOMENT), 4),
    Column("MAE", _metric(rating_metrics.MAE), 4),
    Column("AUC", _metric(rating_metrics.AUC), 4),
    Column("AUC, no 3", _metric(rating_metrics.AUC_WITHOUT_3), 4),
    *COSTS,
)
_NDCG = f"NDCG@{ranking_metrics.TOP}"
RANKING = (
    Column(_NDCG, _metric(ranking_metrics.NDCG), 4),
    Column(f"recall@{ranking_metrics.TOP}", _metric(ranking_metrics.RECALL), 4),
    *(
        Column(f"{_NDCG}, {part}", _metric(ranking_metrics.NDCG, part), 4)
        for part in (ranking_metrics.LIKED, ranking_metrics.RETURNED)
    ),
    Column(f"{_NDCG}, no moment", _metric(ranking_metrics.NDCG, moment=NO_MOMENT), 4),
    Column("stars of hits", _metric(ranking_metrics.STARS_OF_HITS), 2),
    *COSTS,
)

Models = dict[str, list[Result]]
Curve = dict[str, dict[int, list[Result]]]  # by model and by percent of the ratings to fit, fewest first


def columns(split: str) -> tuple[Column, ...]:
    """Return the columns of a split; by the first one models are compared."""
    return RANKING if split == LAST else RATINGS


def first_figure(result: Result) -> str:
    """Return the figure by which models are compared, in words."""
    first = columns(result.split)[0]
    return f"{first.heading} {first.text([result])}"


@dataclasses.dataclass(frozen=True)
class Sheet:
    """One table: its title, its headings and its rows."""

    title: str
    headings: list[str]
    rows: list[list[str]]

    def drawn(self) -> Table:
        """Return the table for the terminal."""
        table = Table(*self.headings, title=self.title)
        for column in table.columns[:3]:
            column.no_wrap = True
        for column in table.columns[1:]:
            column.justify = "right"
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> list[str]:
        """Return the lines of the table, without its title."""
        rule = "|---|" + "---:|" * (len(self.headings) - 1)
        return [_line(self.headings), rule, *map(_line, self.rows)]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


class Report:
    """All that was measured on one dataset.

    Args:
      title: names the dataset.
      data: what the bench was told of it; None if nothing.
      results: one at least.
      leads: of the best model, by split.
    """

    def __init__(
        self, title: str, data: str | None, results: list[Result], leads: dict[str, Leads] | None = None
    ) -> None:
        self._title = title
        self._data = data
        self._results = results
        self._leads = leads or {}
        self._splits = by_split(results)
        self._curve = by_size(results)

    def sheets(self) -> list[Sheet]:
        """Return the tables for the terminal: of each split, of the learning curve, of what is served."""
        sheets = [split_sheet(split, models, spread=False) for split, models in self._splits.items()]
        if self._curve:
            sheets.append(curve_sheet(self._curve))
        return [*sheets, *self._served()]

    def write(self, folder: Path) -> None:
        """Write the page and the plots, each whole or not at all; plots that it has no more are removed."""
        drawn = {PLOTS[split]: accuracy_plot(split, models) for split, models in self._splits.items()}
        if self._curve:
            drawn[CURVE] = curve_plot(self._curve)
        for name, plot in drawn.items():
            versions.replace(folder / name, plot)
        versions.replace(folder / PAGE, self.page())
        for name in {*PLOTS.values(), CURVE} - drawn.keys():
            (folder / name).unlink(missing_ok=True)

    def page(self) -> str:
        """Return the page, in Markdown."""
        lines = [f"# Quality on {self._title}", "", "```sh", *self._commands(), "```", "", *self._reading()]
        for split, models in self._splits.items():
            sheet = split_sheet(split, models)
            lines += [f"## {sheet.title}", "", f"{_HOW[split]} {_counts(models)}", "", *sheet.markdown(), ""]
            lines += [f"![{_plot_title(split)}]({PLOTS[split]})", ""]
            if leads := self._leads.get(split):
                sheet = lead_sheet(next(iter(models)), leads)
                lines += [f"### {sheet.title}", "", _how_ahead(split, leads), "", *sheet.markdown(), ""]
        if self._curve:
            sheet = curve_sheet(self._curve)
            lines += [f"## {sheet.title}", "", _CURVE, "", *sheet.markdown(), ""]
            lines += [f"![{_CURVE_TITLE}]({CURVE})", ""]
        for sheet in self._served():
            lines += [f"## {sheet.title}", "", _SERVED, "", *sheet.markdown(), ""]
        return "\n".join(lines)

    def _served(self) -> list[Sheet]:
        """Return the table of what is served, if any is."""
        sheet = served_sheet(self._results)
        return [sheet] if sheet.rows else []

    def _reading(self) -> list[str]:
        """Return the lines that tell how to read the tables, and what is not in them."""
        below = ExampleGenConfig().cold_below
        return [
            f"`{PRESET}…` are the presets of this project, each trained, exported and pushed by the whole "
            "pipeline, and asked as it is served; the others are baselines, most of other packages, on the "
            "same test rows. What each is: `tests/benchmarks/quality/README.md`. The best comes first.",
            "",
            "- Figures are means over the seeds of training, ± their standard deviation where it is not 0, "
            "which is the bar in a plot. All seeds have the same rows; what other users would "
            "change is in the tables of leads.",
            "- RMSE and MAE are in stars. A cold user or movie has fewer than "
            f"{below} ratings to fit; a dash stands where no such row is tested.",
            "- RMSE, no moment: that of the same questions asked without a moment, which is about the end of "
            "the ratings to fit. A dash stands for presets whose model takes no moment, and for baselines: "
            "those that use the day always have it.",
            "- AUC: how well 4 and 5 stars are told from fewer; no 3: without the test rows of 3 "
            "stars, though the models are fitted to such ratings too.",
            f"- {_NDCG} and recall@{ranking_metrics.TOP}: how high the movie held out stands among the first "
            f"{ranking_metrics.TOP}; it is the only one that counts. Liked: of the users who then gave it "
            f"{rating_metrics.HIGH:g} stars or more; after a pause: of those who had rated nothing for "
            f"{ranking_metrics.PAUSE // 60} minutes. Stars of hits: the mean rating of those found there.",
            "- s training: seconds of the wall, of the fastest seed; of a preset with the reading of the "
            "examples and the export, of a baseline for the fit alone. MB: of a preset what a server loads, "
            "of a baseline its parameters. ms a 1,000: milliseconds for 1,000 predictions, when all test "
            "questions are asked, of the fastest seed.",
            "- What was to choose of presets and baselines was chosen on validation rows. Those of the "
            "random split are of all times, a tenth of that of the test rows of the split by time.",
            "- Not measured: the memory that training takes; the time in which the hyperparameters were "
            "found; the latency of a single request, for which there is `make bench-latency`.",
            f"- {_machines(self._results)} Python {platform.python_version()}; presets: "
            f"{_project_packages()}; baselines: {_baseline_packages()}.",
            "",
        ]

    def _commands(self) -> list[str]:
        """Return what measures all of it: splits in one line where models and seeds are the same."""
        shares = {SIZE: {model: by_percent[min(by_percent)] for model, by_percent in self._curve.items()}}
        splits: dict[tuple[tuple[str, ...], tuple[int, ...]], list[str]] = collections.defaultdict(list)
        for split, models in (self._splits | (shares if self._curve else {})).items():
            by_seeds = collections.defaultdict(list)
            for model, results in sorted(models.items()):
                by_seeds[tuple(sorted(result.seed for result in results))].append(model)
            for seeds, names in by_seeds.items():
                splits[tuple(names), seeds].append(split)
        data = f'DATA="{Path(self._data).name}" ' if self._data else ""
        return [
            f'make bench-quality {data}MODELS="{" ".join(names)}" SPLITS="{" ".join(measured)}" '
            f'SEEDS="{" ".join(map(str, seeds))}"'
            for (names, seeds), measured in splits.items()
        ]


def by_split(results: Iterable[Result]) -> dict[str, Models]:
    """Group results by split and model, the best model of a split first; those of the shares are left out."""
    groups: dict[str, Models] = collections.defaultdict(lambda: collections.defaultdict(list))
    for result in results:
        groups[result.split][result.model].append(result)
    return {split: _sorted(split, groups[split]) for split in PLOTS if split in groups}


def _sorted(split: str, models: Models) -> Models:
    """Return the models in order: RMSE upwards, NDCG downwards."""
    first = columns(split)[0]
    means = {name: first.over_seeds(results) for name, results in models.items()}
    return {name: models[name] for name in sorted(means, key=means.__getitem__, reverse=split == LAST)}


def by_size(results: Iterable[Result]) -> Curve:
    """Group results of models that were fitted on shares; the best at the end first.

    Of the whole random split there are the seeds that were fitted on shares too.
    """
    percents = {**SHARES, SplitMethod.RANDOM.value: 100}
    on_curve = [result for result in results if result.split in percents]
    fitted = {(result.model, result.seed) for result in on_curve if result.split in SHARES}
    groups: Curve = collections.defaultdict(lambda: collections.defaultdict(list))
    for result in sorted(on_curve, key=lambda result: percents[result.split]):
        if (result.model, result.seed) in fitted:
            groups[result.model][percents[result.split]].append(result)
    return dict(sorted(groups.items(), key=lambda item: RMSE.over_seeds(item[1][max(item[1])])))


def _counts(models: Models) -> str:
    """Return how many rows a split has, in words."""
    fitted: dict[int, set[str]] = collections.defaultdict(set)
    for model, results in models.items():
        fitted[results[0].fitted_on].add(model)
    (most, _), *others = sorted(fitted.items(), reverse=True)
    fewer = "".join(
        f", {rows:,} for {' and '.join(sorted(names))}, which validate by the others"
        for rows, names in others
    )
    result = next(iter(models.values()))[0]
    (_, whole), *parts = result.judgements[SECOND].metrics.items()
    if result.split == LAST:
        slices = " and ".join(f"{of[ROWS]:,} {part}" for part, of in parts)
        asked = f"{whole[ROWS]:,} users asked about, {slices}"
    else:
        slices = " and ".join(f"{of[ROWS]:,} of {of[IDS]:,} {part}" for part, of in parts)
        asked = f"{whole[ROWS]:,} test rows of {whole[IDS]:,} users; of the rows, {slices}"
    return f"{most:,} ratings to fit{fewer}; {asked}."


def _how_ahead(split: str, leads: Leads) -> str:
    """Return how to read the leads of a split."""
    told = _LEAD.format(figure=columns(split)[0].heading, worse="lower" if split == LAST else "higher")
    without_moment = any(OVERALL_NO_MOMENT in by_slice for by_slice in leads.values())
    return f"{told} {_LEAD_NO_MOMENT}" if without_moment else told


def _machines(results: Iterable[Result]) -> str:
    """Return the machine that the times are of, in a sentence; if there are several, with their models."""
    models: dict[str, set[str]] = collections.defaultdict(set)
    for result in results:
        models[result.machine].add(result.model)
    if len(models) == 1:
        return f"Machine: {next(iter(models))}."
    each = (f"{machine} ({', '.join(sorted(names))})" for machine, names in sorted(models.items()))
    return f"Times are of different machines: {'; '.join(each)}."


def _project_packages() -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PROJECT)


def _baseline_packages() -> str:
    pins = (FOLDER / "requirements.txt").read_text(encoding="utf-8")
    return ", ".join(
        f"{name} {version}"
        for name, version in re.findall(r"^(\S+)==(\S+)", pins, re.MULTILINE)
        if name in _BASELINES
    )


def split_sheet(split: str, models: Models, *, spread: bool = True) -> Sheet:
    """Return the table of a split; without the spread, but of the first figure, it is narrower."""
    first, *others = columns(split)
    headings = ["model", "seeds", *(column.heading for column in (first, *others))]
    rows = [
        [
            model,
            _seeds(results),
            first.text(results),
            *(column.text(results, spread=spread) for column in others),
        ]
        for model, results in models.items()
    ]
    return Sheet(f"{split} split", headings, rows)


def _seeds(results: Iterable[Result]) -> str:
    return " ".join(map(str, sorted(result.seed for result in results)))


def lead_sheet(best: str, leads: Leads) -> Sheet:
    """Return the table of how far the best model of a split is ahead of each other one."""
    rows = [
        [name, *("-" if lead is None else str(lead) for lead in by_slice.values())]
        for name, by_slice in leads.items()
    ]
    return Sheet(f"Lead of {best}", ["model", *next(iter(leads.values()))], rows)


def served_sheet(results: Iterable[Result]) -> Sheet:
    """Return the table of how near what is served comes to the training graph, a row a preset."""
    differences: dict[str, list[float]] = collections.defaultdict(list)
    for result in results:
        if result.largest_difference is not None:
            differences[result.model].append(result.largest_difference)
    rows = [
        [model, str(len(of_model)), f"{max(of_model):.0e}"] for model, of_model in sorted(differences.items())
    ]
    return Sheet("Served", ["model", "versions", "largest difference"], rows)


def curve_sheet(curve: Curve) -> Sheet:
    """Return the table of the learning curve."""
    percents = sorted({percent for of_model in curve.values() for percent in of_model})
    rows = [
        [model, _seeds(of_model[max(of_model)]), *(RMSE.text(of_model.get(p, [])) for p in percents)]
        for model, of_model in curve.items()
    ]
    return Sheet("Learning curve", ["model", "seeds", *(f"{percent}%" for percent in percents)], rows)


def accuracy_plot(split: str, models: Models) -> str:
    """Return an SVG of accuracy against seconds of training, a point for each model."""
    first = columns(split)[0]
    with mpl.rc_context(style.SETTINGS):
        figure = _figure()
        axes = figure.subplots()
        names, marks = [], []
        for whose, members in _by_owner(models).items():
            x = [TRAINING.over_seeds(models[name]) for name in members]
            y = [first.over_seeds(models[name]) for name in members]
            spread = [first.spread(models[name]) for name in members]
            marker, color = _OWNERS[whose]
            axes.errorbar(x, y, spread, fmt=marker, color=color, label=whose, capsize=2, elinewidth=1)
            names += [axes.text(*point, color=color) for point in zip(x, y, members, strict=True)]
            ends = np.array(y) + np.outer([-1, 0, 1], spread)
            marks.append(np.stack([np.tile(x, 3), ends.ravel()]))
        better = "higher" if split == LAST else "lower"
        axes.set(
            title=_plot_title(split),
            xlabel="seconds of training, log scale",
            ylabel=f"{first.heading}, {better} is better",
            xscale="log",
        )
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.grid(alpha=0.4)
        axes.margins(0.2, 0.1)  # room for the names
        figure.legend(loc="outside lower right", ncols=2, frameon=False)
        figure.draw_without_rendering()  # the names are placed where the axes will be
        figure.set_layout_engine("none")
        adjustText.adjust_text(
            names,
            objects=axes.scatter(*np.concatenate(marks, axis=1), alpha=0),
            ax=axes,
            expand=(1.15, 1.4),
            min_arrow_len=6,
            iter_lim=500,  # in place of a time, which would make the plot depend on the machine
            arrowprops={"arrowstyle": "-", "color": "gray"},
        )
        return _svg(figure)


def curve_plot(curve: Curve) -> str:
    """Return an SVG of RMSE against the number of ratings to fit, means over the seeds, a line a model."""
    with mpl.rc_context(style.SETTINGS):
        figure = _figure()
        axes = figure.subplots()
        owners = _by_owner(curve)
        places = {model: place for place, model in enumerate(itertools.chain(*owners.values()))}
        for model, of_model in curve.items():
            axes.plot(
                [results[0].fitted_on for results in of_model.values()],
                [RMSE.over_seeds(results) for results in of_model.values()],
                marker=_MARKERS[places[model] % len(_MARKERS)],
                color=_COLORS[places[model] % len(_COLORS)],
                linestyle="-" if model in owners[_PRESETS] else "--",
                label=model,
            )
        axes.set(title=_CURVE_TITLE, xlabel="ratings to fit", ylabel=f"{RMSE.heading}, lower is better")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(alpha=0.4)
        figure.legend(loc="outside right upper", frameon=False, reverse=True)
        return _svg(figure)


def _plot_title(split: str) -> str:
    return f"{columns(split)[0].heading} on the {split} split against seconds of training"


def _by_owner(models: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of the presets, and those of the others."""
    owners: dict[str, list[str]] = {_PRESETS: [], _OTHERS: []}
    for model in models:
        owners[_PRESETS if model.startswith(PRESET) else _OTHERS].append(model)
    return owners


def _figure() -> Figure:
    figure = Figure((8.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)  # which measures text
    return figure


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
