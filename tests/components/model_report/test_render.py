import dataclasses
import html
import re

import pytest

from components.deepfm.config import DeepFMConfig
from components.evaluator.results import Comparison, SliceMetrics
from components.gibbs.config import GibbsConfig
from components.model_report.config import DatasetFacts
from components.model_report.render import render_card, render_report
from components.ratings_example_gen.config import ExampleGenConfig, RunDays, SplitMethod
from components.ratings_example_gen.counts import RowCounts
from components.serving_validator.report import Report
from components.trainer.history import SWEEP
from components.trainer.start import Start
from schema import features

GENERATED = DatasetFacts(name="generated-1m-seed7", generated=True, noise_floor_rmse=0.8432)


def table_rows(page):
    """The cells of each row of a page's tables, as text."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)
    return [
        [
            html.unescape(re.sub(r"<[^>]*>", "", cell))
            for cell in re.findall(r"(?s)<t[hd][^>]*>(.*?)</t[hd]>", row)
        ]
        for row in rows
    ]


def text(page):
    return re.sub(
        r"\s+", " ", html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL))
    )


def card_rows(card):
    lines = [line for line in card.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def not_compared(findings):
    def alone(metrics):
        return dataclasses.replace(metrics, baseline_rmse=None)

    evaluation = dataclasses.replace(
        findings.evaluation,
        overall=alone(findings.evaluation.overall),
        slices=tuple(map(alone, findings.evaluation.slices)),
        comparison=Comparison(version=None, reason="no model was served before this one"),
    )
    return dataclasses.replace(findings, evaluation=evaluation)


def not_blessed(findings):
    evaluation = dataclasses.replace(
        findings.evaluation, blessed=False, reasons=("gender=F: rmse is 0.9412, at most 0.9000 allowed",)
    )
    serving = Report(["`rank_ms` is 1200.0, at most 1000.0 allowed"], findings.serving.figures)
    return dataclasses.replace(findings, evaluation=evaluation, serving=serving, pushed_version=None)


def test_the_verdict_stands_on_top(findings):
    head = text(render_report(findings).split("</header>")[0])
    assert "real data" in head
    assert "GENERATED" not in head
    assert "Blessed, pushed as version 2" in head
    assert "Compared with version 1." in head
    assert "Test RMSE, stars 0.8570 MAE 0.6707; 100,243 test rows" in head
    assert "Served model's RMSE 0.8591 same rows; change −0.0021, better" in head  # noqa: RUF001
    assert "Noise floor" not in head
    assert "Ratings accepted 999,009 of 1,000,209 lines; 1,200 rejected" in head


def test_tables_hold_the_figures(findings):
    rows = table_rows(render_report(findings))
    rest = ["0.6707", "3.575", "3.602", "1.008"]
    assert ["whole test split", "100,243", "0.8570", "0.8591", "−0.0021", *rest] in rows  # noqa: RUF001
    assert ["female", "24,403", "0.8814", "0.8861", "−0.0047", *rest] in rows  # noqa: RUF001
    assert ["under 18", "2,711", "0.9236", "0.9235", "+0.0001", *rest] in rows
    assert ["ratings.dat", "1,000,209", "999,009", "1,200", "bad_rating 200, repeated_uid_mid 1,000"] in rows
    assert ["users.dat", "6,040", "6,040", "0", "none"] in rows
    assert ["test", "100,243"] in rows
    assert ["One rating, median", "0.7 ms"] in rows
    assert ["Size of the version", "8,171,043 bytes"] in rows
    assert ["hidden_units", "128, 64"] in rows
    assert ["clip_rating", "yes"] in rows


def test_what_the_data_was_held_against_is_shown(findings):
    page, card = render_report(findings), render_card(findings)
    warning = "2000-12-31: number of ratings is 0, at least 1 allowed"
    assert f"DataGate warns: {warning}." in text(page.split("</header>")[0])
    assert "Compared with version 1. New days: 2000-12-30, 2000-12-31." in text(page)
    assert "Not judged: newest rows: 12 in test, 1,000 needed." in text(page)
    rows = table_rows(page)
    distance = "L-infinity distance from version 1"
    assert ["train", "genres", distance, "0.0123", "at most 0.1", "passed"] in rows
    assert ["2000-12-31", "", "number of ratings", "0", "at least 1", "warning"] in rows
    assert f"- Held against what was there before: compared with version 1.\n- Warning: {warning}.\n" in card
    nothing = dataclasses.replace(findings.data, measurements=[], notes=[], days=[])
    page = render_report(dataclasses.replace(findings, data=nothing))
    assert "DataGate warns" not in page
    assert "New days" not in page
    assert "Verdict" not in page


def test_the_page_needs_nothing_beside_itself(findings):
    page = render_report(findings)
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page.replace("xlink:href", "href"))
    assert "@import" not in page
    assert set(re.findall(r"https?://[^\"]+", page)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_generated_data_are_called_so(findings):
    findings = dataclasses.replace(findings, dataset=GENERATED)
    page, card = render_report(findings), render_card(findings)
    head = text(page.split("</header>")[0])
    assert "GENERATED data" in head
    assert "real data" not in head
    assert "Noise floor, RMSE 0.8432 test RMSE is +0.0138 from it" in head
    assert "noise floor 0.8432" in page
    assert "**GENERATED data: a program drew these ratings, no person gave them.**" in card
    assert "Noise floor: 0.8432" in card
    assert "This model is +0.0138 from it." in card
    assert "GroupLens" not in card


def test_reasons_are_shown_where_the_model_is_not_blessed(findings):
    page, card = render_report(not_blessed(findings)), render_card(not_blessed(findings))
    head = text(page.split("</header>")[0])
    assert "Not blessed, not pushed" in head
    assert "Evaluator: gender=F: rmse is 0.9412, at most 0.9000 allowed" in head
    assert "ServingValidator: `rank_ms` is 1200.0, at most 1000.0 allowed" in head
    assert "**Not blessed, not pushed.**" in card
    assert "\n- Evaluator: gender=F: rmse is 0.9412, at most 0.9000 allowed\n- ServingValidator: " in card
    assert "- Version: none; it was not pushed." in card


def test_of_many_reasons_five_are_shown_at_once(findings):
    reasons = tuple(f"genres={n}: rmse is 0.9412, at most 0.9000 allowed" for n in range(7))
    evaluation = dataclasses.replace(findings.evaluation, blessed=False, reasons=reasons)
    head = render_report(dataclasses.replace(findings, evaluation=evaluation)).split("</header>")[0]
    shown, folded = head.split("<details>")
    assert re.findall(r"genres=(\d)", shown) == list("01234")
    assert "<summary>and 2 more</summary>" in folded
    assert re.findall(r"genres=(\d)", folded) == list("56")


def test_a_version_that_could_not_be_loaded_has_no_figures(findings):
    serving = Report(["a fresh process could not serve the model: boom"], {"stderr": "boom", "bytes": 7})
    rows = table_rows(render_report(dataclasses.replace(findings, serving=serving)))
    assert ["Size of the version", "7 bytes"] in rows
    assert not any(row[0] == "One rating, median" for row in rows if row)


def test_without_a_baseline_there_is_no_column_for_it(findings):
    findings = not_compared(findings)
    page, card = render_report(findings), render_card(findings)
    assert "No model was served before this one: judged by the absolute bound alone." in text(page)
    assert "Served model" not in text(page)
    assert "the served model on the same rows" not in text(page)
    assert ["female", "24,403", "0.8814", "0.6707", "3.575", "3.602", "1.008"] in table_rows(page)
    assert ["slice", "test rows", "RMSE", "MAE", "calibration"] in card_rows(card)
    assert ["Gender: female", "24,403", "0.8814", "0.6707", "1.008"] in card_rows(card)


def test_a_comparison_that_was_not_made_is_a_warning(findings):
    reason = "143 test rows, 200 are needed"
    evaluation = dataclasses.replace(
        findings.evaluation,
        overall=dataclasses.replace(findings.evaluation.overall, rows=143, judged=False),
        slices=(),
        comparison=Comparison(version=1, reason=reason),
    )
    findings = dataclasses.replace(findings, evaluation=evaluation)
    page, card = render_report(findings), render_card(findings)
    warning = f"ot compared with version 1: {reason}; judged by the absolute bound alone."
    assert f'<p class="caution">N{warning}</p>' in page
    assert "Served model's RMSE 0.8591 same rows; change −0.0021, not judged" in text(page)  # noqa: RUF001
    rest = ["0.6707", "3.575", "3.602", "1.008"]
    assert [
        "whole test split", "143", "0.8570", "0.8591", "−0.0021, not judged", *rest  # noqa: RUF001
    ] in table_rows(page)  # fmt: skip
    assert f"MAE 0.6707 stars. **Warning: n{warning}**\n\n" in card
    assert ["whole test split", "143", "0.8570", "0.8591, not judged", "0.6707", "1.008"] in card_rows(card)


def test_slices_that_were_not_judged_are_marked(findings):
    female, *others = findings.evaluation.slices
    slices = (dataclasses.replace(female, judged=False), *others)
    evaluation = dataclasses.replace(findings.evaluation, slices=slices)
    findings = dataclasses.replace(findings, evaluation=evaluation)
    page, card = render_report(findings), render_card(findings)
    changes = {row[0]: row[4] for row in table_rows(page) if row[0] in ("female", "male")}
    assert changes == {"female": "−0.0047, not judged", "male": "−0.0013"}  # noqa: RUF001
    assert ["Gender: female", "24,403", "0.8814", "0.8861, not judged", "0.6707", "1.008"] in card_rows(card)
    assert 'class="caution"' not in page
    assert "Warning: n" not in card


def test_without_rejected_rows_there_is_no_plot_of_them(findings):
    counts = {name: RowCounts(c.accepted, c.accepted, splits=c.splits) for name, c in findings.counts.items()}
    page = render_report(dataclasses.replace(findings, counts=counts))
    assert "No row was rejected." in page
    assert "Rejected rows by file and reason" not in page
    assert "Rejected rows by file and reason" in render_report(findings)


def test_text_from_data_is_no_markup(findings):
    evil = "<script>alert('x')</script>|[a](b)\n# c"
    metrics = {**vars(findings.evaluation.overall), "feature": features.GENRES.name, "value": evil}
    evaluation = dataclasses.replace(
        findings.evaluation, slices=(SliceMetrics(**metrics),), blessed=False, reasons=(f"genres={evil}: no",)
    )
    findings = dataclasses.replace(findings, evaluation=evaluation)
    page, card = render_report(findings), render_card(findings)
    assert "<script" not in page
    assert [row[0] for row in table_rows(page) if row and "script" in row[0]] == [evil]
    assert "- Evaluator: genres=\\<script>alert('x')\\</script>\\|\\[a\\](b) # c: no\n" in card
    assert "| Genres: \\<script>alert('x')\\</script>\\|\\[a\\](b) # c | 100,243 |" in card


def test_the_card_has_the_usual_sections_and_figures(findings):
    card = render_card(findings)
    assert re.findall(r"^## (.*)$", card, flags=re.MULTILINE) == [
        "Model details",
        "Intended use",
        "Factors",
        "Metrics",
        "Evaluation data",
        "Training data",
        "Quantitative analyses",
        "Ethical considerations",
        "Caveats and recommendations",
    ]
    assert (
        "**Blessed, pushed as version 2.** Test RMSE 0.8570, MAE 0.6707 stars. Compared with version 1."
        in card
    )
    assert "epoch 2 of 3 was kept, for its validation RMSE of 0.8612" in card
    assert (
        "- Warm start from version 1; 6,030 users kept, 10 new, 2 gone; 3,700 movies kept, 6 new, 0 gone.\n"
        in card
    )
    assert "test RMSE at most 0.95; against the model then served, at most 0.003 more" in card
    assert "- 100,243 ratings of ml-1m (real), never used to train" in card
    assert "GroupLens" in card
    rows = card_rows(card)
    assert ["whole test split", "100,243", "0.8570", "0.8591", "0.6707", "1.008"] in rows
    assert ["Age: under 18", "2,711", "0.9236", "0.9235", "0.6707", "1.008"] in rows
    assert ["movies.dat", "3,883", "3,880", "3", "wrong_number_of_fields 3"] in rows
    assert ["embedding_dim", "32"] in rows
    assert not re.search(r"\n{3,}|[{}%]{2}", card)


def test_of_a_sampled_model_no_epoch_is_told(findings):
    sampled = dataclasses.replace(
        findings,
        model=DeepFMConfig(
            architecture="two_sided",
            numeric=(),
            drift_seconds=(60.0,),
            embedding_l2=0.0,
            oov_dropout_rate=0.0,
        ),
        train=GibbsConfig(sweeps=7),
        history=dataclasses.replace(findings.history, unit=SWEEP),
    )
    page, card = text(render_report(sampled)), render_card(sampled)
    assert "The model is the mean of 7 more sweeps, on the training and the validation rows." in page
    warm = (
        "on the training ratings alone, the validation RMSE was 0.8650; but they began with version 1, which"
    )
    assert f"After 3 sweeps {warm} was fitted to those of the validation ratings that it had" in card
    assert "on the training rows alone, though they began with version 1, which was fitted to those" in page
    assert "to watch the burn-in by, and then to be fitted to" in card
    assert "never used to fit the model or to choose anything" in card
    assert "what is expected of one of whom only the other features are known" in card
    assert "- Orders movies by what the user will choose next, and 1.0 times the rating predicted.\n" in card
    assert (
        "keep the data, and the users, their movies and the times of their ratings inside the model" in card
    )
    not_counted = "Ratings of the validation split do not count, though the model is fitted to them as well"
    assert f"{not_counted}.\n- Slices of fewer than" in card
    assert f"{not_counted}." in page
    by_time = dataclasses.replace(sampled, example_gen=ExampleGenConfig(split=SplitMethod.TIME))
    assert f"{not_counted}: some of those who came late have theirs there" in render_card(by_time)
    for told in (page, card):
        assert "epoch" not in told.replace("choice_epochs", "").lower()
    cold = dataclasses.replace(sampled, start=Start(version=None, reason="no version is served"))
    page, card = text(render_report(cold)), render_card(cold)
    assert "After 3 sweeps on the training ratings alone, the validation RMSE was 0.8650.\n" in card
    assert "on the training rows alone: the training RMSE is that of a draw" in page


DAYS = RunDays(run_date="2000-12-31")


def test_replaced_ratings_and_days_are_told(findings):
    counts = dict(findings.counts)
    ratings = counts["ratings.dat"]
    counts["ratings.dat"] = dataclasses.replace(ratings, read=ratings.read + 1234, replaced=1234)
    findings = dataclasses.replace(findings, counts=counts, days=DAYS)
    assert "- 1,234 older ratings were replaced by a later one of the same user and movie." in render_card(
        findings
    )
    page = render_report(findings)
    assert "1,234 replaced by later ratings</dd>" in page
    assert "<caption>Split: test from 2000-12-25 to 2000-12-31</caption>" in page
    assert "<tr><th>run_date</th><td>2000-12-31</td></tr>" in page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "trained by replacing 1% of the ids"),
        ({"model": DeepFMConfig(oov_dropout_rate=0.0)}, "which training never touched"),
        ({}, "A random split mixes past and future"),
        ({"example_gen": ExampleGenConfig(split=SplitMethod.TIME)}, "users of a split by time are new"),
        (
            {"days": DAYS},
            "- The days from 2000-12-25 to 2000-12-31 are the test split; of those before them a random 5% "
            "is the validation split.",
        ),
        ({"days": DAYS}, "users of a split by time are new"),
        ({"model": DeepFMConfig(clip_rating=False)}, "which may lie outside the scale of ratings"),
        (
            {"model": DeepFMConfig(architecture="gmf", categorical=("uid", "mid"), numeric=())},
            "*Neural Collaborative Filtering*",
        ),
    ],
)
def test_the_card_says_what_holds_of_this_model(findings, change, said):
    assert said in render_card(dataclasses.replace(findings, **change))
