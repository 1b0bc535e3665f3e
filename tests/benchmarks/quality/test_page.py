"""What the README says of quality is what the pages of the measurements say."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = Path(__file__).parent / "ml-1m"
README = (ROOT / "README.md").read_text(encoding="utf-8")

# Columns of the README's table: split, heading and decimals of its page's.
COLUMNS = {
    "RMSE, random split": ("random", "RMSE", 4),
    "RMSE, split by time": ("time", "RMSE", 4),
    "RMSE there of new users": ("time", "RMSE, cold users", 3),
    "NDCG@10 of `rank`": ("last", "NDCG@10", 3),
    "seconds of training": ("random", "s training", 0),
    "MB served": ("random", "MB", 0),
}


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


def test_the_readme_has_the_figures_of_the_pages():
    ((headings, rows),) = ((headings, rows) for headings, rows in tables(README) if headings == list(COLUMNS))
    splits = {split: of_split(split) for split in ("random", "time", "last")}
    assert len(rows) == 7
    for name, cells in rows.items():
        model = re.fullmatch(r"`(.+)`", name)[1]
        model = model if model in splits["time"] | splits["last"] else f"deepfm-{model}"
        for heading, cell in zip(headings, cells, strict=True):
            split, column, decimals = COLUMNS[heading]
            if cell:
                mean = float(splits[split][model][column].split(" ± ")[0].replace(",", ""))
                assert cell == f"{mean:,.{decimals}f}", (name, heading)
