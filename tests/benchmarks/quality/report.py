"""The results as pages: tables, on the terminal and in Markdown, and plots.

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
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import adjustText
import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from components.model_report import style
from components.ratings_example_gen.config import SplitMethod
from components.serving_validator.config import ServingValidatorConfig
from serving import versions
from tests.benchmarks.quality import ranking_metrics, rating_metrics
from tests.benchmarks.quality.baseline import FOLDER
from tests.benchmarks.quality.lead import OVERALL_NO_MOMENT, Leads
from tests.benchmarks.quality.model import NO_MOMENT, PRESET, SECOND
from tests.benchmarks.quality.protocols import LAST, PROTOCOLS, SHARES, SIZE
from tests.benchmarks.quality.results import Result
from tests.benchmarks.quality.slices import IDS, OVERALL, ROWS

SERVED = "served"  # the page of it; the others are called as their split

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
    "is chosen after a pause, as it does in service where the ratings to fit are not of the same hour. How "
    "well a user is served who returns, the column after a pause says. Models are fitted to other users' "
    "later ratings too, and not to a tenth of the ratings before those held out, which the pipeline keeps to "
    "test.",
}
_CURVE = (
    "RMSE on the test rows of the random split, of models that got the same share of its other rows; "
    "`gradient` and `notebook` validate by a part of it. A dash: not measured, or the Evaluator of the "
    "pipeline let no such model through. In the plot, baselines are dashed."
)
_CURVE_TITLE = "RMSE on the random split against ratings to fit"
_LEAD = (
    "By how much the {figure} of the others is {worse}, of the test rows of all seeds together; in brackets, "
    "what holds 95% of the leads when the users are drawn anew, each with all of their rows, or for cold "
    "movies the movies. Where that holds 0, the lead may be chance."
)
_LEAD_NO_MOMENT = "No moment: the sampled presets are asked without one, and the others as before."
_AS_BEFORE = {
    frozenset({"myfm-short", "myfm-day", "myfm-ordered"}): "Those of myFM that use the day have it",
    frozenset({"ease-recent"}): "`ease-recent` goes on where the user was, though presets are asked for a "
    "return",
}
_READING = (
    f"`{PRESET}…` are the presets of this project, each trained, exported and pushed by the whole pipeline, "
    "and asked as it is served; the others are baselines, most of other packages, on the same test rows. "
    "What each is, and what each column says: `tests/benchmarks/quality/README.md`. The best comes first."
)
_SERVED = (
    "Each version that a preset pushed was loaded into a Session, as TensorFlow Serving loads it. Over all "
    "versions, the largest difference there of any rating from that of the training graph, by every "
    f"signature, on {ServingValidatorConfig().rows:,} raw test rows, and of any score from that of the "
    "trained order, where one user's `rank` has every movie:"
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


@dataclasses.dataclass(frozen=True)
class Page:
    """One page.

    Args:
      name: of its files, without an ending.
      sheet: its first table, as the terminal shows it.
      text: in Markdown.
      plot: the SVG that the text shows, if any.
    """

    name: str
    sheet: Sheet
    text: str
    plot: str | None = None

    def write(self, folder: Path) -> Path:
        """Write it, each file whole or not at all; return where the text is."""
        if self.plot:
            versions.replace(folder / plot_file(self.name), self.plot)
        versions.replace(folder / text_file(self.name), self.text)
        return folder / text_file(self.name)


def text_file(name: str) -> str:
    """Return what the text of a page is called."""
    return f"{name}.md"


def plot_file(name: str) -> str:
    """Return what the plot of a page is called."""
    return f"{name}.svg"


def remove(name: str, folder: Path) -> None:
    """Remove a page, if it is there."""
    for file in (text_file(name), plot_file(name)):
        (folder / file).unlink(missing_ok=True)


@dataclasses.dataclass(frozen=True)
class Report:
    """What was measured on one dataset.

    Args:
      title: names the dataset.
      data: what the bench was told of it; None if nothing.
      results: of every split that is wanted.
    """

    title: str
    data: str | None
    results: list[Result]

    def pages(self, splits: Collection[str], leads: Mapping[str, Leads]) -> list[Page]:
        """Return the pages of splits that there are results of, and of what is served there if any is.

        Args:
          splits: of `SPLITS`.
          leads: of the best model, by split.
        """
        models: dict[str, Models] = {
            split: found for split, found in by_split(self.results).items() if split in splits
        }
        pages = [self._split(split, of_split, leads[split]) for split, of_split in models.items()]
        if SIZE in splits and (curve := by_size(self.results)):
            models[SIZE] = {
                model: [*itertools.chain(*by_percent.values())] for model, by_percent in curve.items()
            }
            pages.append(self._curve(curve, models[SIZE]))
        presets = {split: _with_versions(of_split) for split, of_split in models.items()}
        sheet = served_sheet(presets)
        return [*pages, self._served(sheet, presets)] if sheet.rows else pages

    def _split(self, split: str, models: Models, leads: Leads) -> Page:
        sheet = split_sheet(split, models)
        lines = [
            f"{_HOW[split]} {_counts(models)}",
            "",
            *sheet.markdown(),
            "",
            *_shown(split, _plot_title(split)),
        ]
        if leads:
            ahead = lead_sheet(next(iter(models)), leads)
            lines += [f"## {ahead.title}", "", _how_ahead(split, leads), "", *ahead.markdown(), ""]
        text = self._text(sheet.title, split, models, lines)
        return Page(split, split_sheet(split, models, spread=False), text, accuracy_plot(split, models))

    def _curve(self, curve: Curve, models: Models) -> Page:
        sheet = curve_sheet(curve)
        lines = [_CURVE, "", *sheet.markdown(), "", *_shown(SIZE, _CURVE_TITLE)]
        return Page(SIZE, sheet, self._text(sheet.title, SIZE, models, lines), curve_plot(curve))

    def _served(self, sheet: Sheet, presets: Mapping[str, Models]) -> Page:
        lines = [
            *(f"# {sheet.title}, {self.title}", ""),
            *("```sh", *self._commands(presets), "```", ""),
            *(_SERVED, ""),
            *(*sheet.markdown(), ""),
        ]
        return Page(SERVED, sheet, "\n".join(lines))

    def _text(self, title: str, split: str, models: Models, lines: list[str]) -> str:
        results = [*itertools.chain(*models.values())]
        packages = f"presets: {_project_packages()}; environment of the baselines: {_baseline_packages()}"
        return "\n".join(
            [
                *(f"# {title[0].upper()}{title[1:]}, {self.title}", ""),
                *("```sh", *self._commands({split: models}), "```", ""),
                f"{_READING} {_machines(results)} Python {platform.python_version()}; {packages}.",
                *("", *lines),
            ]
        )

    def _commands(self, splits: Mapping[str, Models]) -> list[str]:
        """Return what measures it: splits in one line where models and seeds are the same."""
        told: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
        for split, models in splits.items():
            by_seeds = collections.defaultdict(list)
            for model, results in sorted(models.items()):
                by_seeds[_seeds(results)].append(model)
            for seeds, names in by_seeds.items():
                told[" ".join(names), seeds].append(split)
        data = f'DATA="{Path(self.data).name}" ' if self.data else ""
        return [
            f'make bench-quality {data}MODELS="{names}" SPLITS="{" ".join(of)}" SEEDS="{seeds}"'
            for (names, seeds), of in told.items()
        ]


def _shown(name: str, title: str) -> list[str]:
    """Return the lines that show the plot of a page."""
    return [f"![{title}]({plot_file(name)})", ""]


def by_split(results: Iterable[Result]) -> dict[str, Models]:
    """Group results by split and model, the best model of a split first; those of the shares are left out."""
    groups: dict[str, Models] = collections.defaultdict(lambda: collections.defaultdict(list))
    for result in results:
        groups[result.split][result.model].append(result)
    return {split: _sorted(split, groups[split]) for split in PROTOCOLS if split in groups.keys() - SHARES}


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
    if not any(OVERALL_NO_MOMENT in by_slice for by_slice in leads.values()):
        return told
    others = "".join(f" {what}." for models, what in _AS_BEFORE.items() if models & leads.keys())
    return f"{told} {_LEAD_NO_MOMENT}{others}"


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
    return " ".join(map(str, sorted({result.seed for result in results})))


def lead_sheet(best: str, leads: Leads) -> Sheet:
    """Return the table of how far the best model of a split is ahead of each other one."""
    rows = [
        [name, *("-" if lead is None else str(lead) for lead in by_slice.values())]
        for name, by_slice in leads.items()
    ]
    return Sheet(f"Lead of {best}", ["model", *next(iter(leads.values()))], rows)


def _with_versions(models: Models) -> Models:
    """Return those of which a version was held against the training graph."""
    found = {
        model: [result for result in results if result.largest_difference is not None]
        for model, results in models.items()
    }
    return {model: results for model, results in found.items() if results}


def served_sheet(presets: Mapping[str, Models]) -> Sheet:
    """Return the table of how near what is served comes to the training graph, a row a preset.

    Args:
      presets: by split, those of `_with_versions`.
    """
    differences: dict[str, dict[tuple[str, int], float]] = collections.defaultdict(dict)
    for models in presets.values():
        for result in itertools.chain(*models.values()):
            differences[result.model][result.split, result.seed] = result.largest_difference
    rows = [
        [model, str(len(of_model)), f"{max(of_model.values()):.0e}"]
        for model, of_model in sorted(differences.items())
    ]
    return Sheet("Served", ["model", "versions", "largest difference"], rows)


def curve_sheet(curve: Curve) -> Sheet:
    """Return the table of the learning curve."""
    percents = sorted({percent for of_model in curve.values() for percent in of_model})
    rows = []
    for model, of_model in curve.items():
        every = [*itertools.chain(*of_model.values())]
        seeds = len({result.seed for result in every})
        rmse = (_of_seeds(of_model.get(percent, []), seeds) for percent in percents)
        rows.append([model, _seeds(every), *rmse])
    return Sheet("Learning curve", ["model", "seeds", *(f"{percent}%" for percent in percents)], rows)


def _of_seeds(results: list[Result], seeds: int) -> str:
    """Return the RMSE over the seeds; if some of them have none, of how many it is."""
    text = RMSE.text(results)
    return text if len(results) in (0, seeds) else f"{text} ({len(results)} of {seeds} seeds)"


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
