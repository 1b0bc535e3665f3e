"""What the README says of quality is what the pages of the measurements say."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = Path(__file__).parent / "ml-1m"
README = (ROOT / "README.md").read_text(encoding="utf-8")

# Columns of the README's table: split, heading and decimals of its page's.
COLUMNS = {
    "RMSE, random split": ("random", "RMSE", 4),
    "RMSE, split by time": ("time", "RMSE", 4),
    "RMSE there, cold users": ("time", "RMSE, cold users", 3),
    "NDCG@10 of `rank`": ("last", "NDCG@10", 3),
    "NDCG@10, after a pause": ("last", "NDCG@10, after a pause", 3),
    "seconds of training": ("random", "s training", 0),
    "MB served": ("random", "MB", 0),
}
UNTESTED = {"myfm": "last", "ease-recent": "random time"}


def table(lines):
    """Headings, and the cells of each row by name, of a table in Markdown."""
    headings, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    return headings[1:], {row[0]: row[1:] for row in rows}


def tables(text):
    """All tables of a text."""
    return [table(block.splitlines()) for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]


def of_split(split):
    """The figures of a split on its page, by model and heading."""
    headings, rows = tables((PAGES / f"{split}.md").read_text(encoding="utf-8"))[0]
    return {model: dict(zip(headings, cells, strict=True)) for model, cells in rows.items()}


def mean(figure):
    """The mean of a figure on a page."""
    return float(figure.split(" ± ")[0].replace(",", ""))


def test_the_readme_has_the_figures_of_the_pages():
    ((headings, rows),) = ((headings, rows) for headings, rows in tables(README) if headings == list(COLUMNS))
    splits = {split: of_split(split) for split in ("random", "time", "last")}
    assert len(rows) == 8
    for name, cells in rows.items():
        model = re.fullmatch(r"`(.+)`", name)[1]
        if model not in splits["time"] | splits["last"]:
            model = f"deepfm-{model}"
        for heading, cell in zip(headings, cells, strict=True):
            split, column, decimals = COLUMNS[heading]
            if split in UNTESTED.get(model, ""):
                assert cell == "", (name, heading)
            else:
                assert cell == f"{mean(splits[split][model][column]):,.{decimals}f}", (name, heading)


def test_the_readme_says_what_a_moment_and_an_order_are_worth():
    best, myfm = (of_split("random")[name] for name in ("deepfm-best", "myfm"))
    assert f"`best` has {mean(best['RMSE, no moment']):.3f} there, behind `myfm`," in README
    assert mean(best["RMSE, no moment"]) > mean(myfm["RMSE"])
    choice = (ROOT / "components" / "choice" / "README.md").read_text(encoding="utf-8")
    (orders,) = (rows for headings, rows in tables(choice) if "pause" in headings)
    assert f"the predicted rating alone would have {orders['predicted rating'][0]}." in README


def test_the_readme_says_what_best_is_worth():
    by = [
        mean(figures["deepfm-default"][column]) - mean(figures["deepfm-best"][column])
        for figures in map(of_split, ("random", "time"))
        for column in ("RMSE", "RMSE, no moment")
    ]
    low, high = re.search(r"as long as `default`, for (\S+) to (\S+) of RMSE", README).groups()
    assert (min(by), max(by)) == pytest.approx((float(low), float(high)), abs=1.01e-4)


def test_the_readme_says_what_gradient_is_behind():
    time = of_split("time")
    assert "by time it is behind SVD++, and for cold users behind mere biases" in README
    assert mean(time["deepfm-gradient"]["RMSE"]) > mean(time["svd++"]["RMSE"])
    cold = "RMSE, cold users"
    assert mean(time["deepfm-gradient"][cold]) > mean(time["damped-bias"][cold])
