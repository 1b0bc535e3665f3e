import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.ratings_example_gen.config import ExampleGenConfig
from pipeline.dataset.generated import generate
from schema import features
from tests.benchmarks.quality import leave_last_out, splits

NAMES = [feature.name for feature in splits.COLUMNS]


def test_the_last_of_each_user_is_held_out():
    rows = pa.table([[1, 1, 1, 2, 2], [5, 6, 7, 5, 6], [3.0] * 5, [10, 30, 20, 4, 4]], NAMES)
    last = leave_last_out.last_of_each_user(rows, seed=0)
    assert last[:3].tolist() == [False, True, False]
    assert last[3:].sum() == 1


def test_each_user_is_asked_about_each_movie():
    asked = pa.table([[2, 4], [7, 5], [3.0, 4.0], [90, 80]], NAMES)
    before = pa.table([[2, 3, 4], [5, 6, 8], [1.0] * 3, [1, 2, 3]], NAMES)
    questions, answers = leave_last_out.ask(asked, before, np.array([5, 6, 7, 8]))
    assert [tuple(row.values()) for row in questions.to_pylist()] == [
        (uid, mid, time) for uid, time in ((2, 90), (4, 80)) for mid in (5, 6, 7, 8)
    ]
    nothing = [None] * 8
    nothing[2], nothing[4] = 3, 4
    assert answers[features.RATING.name].to_pylist() == nothing
    assert np.flatnonzero(answers[leave_last_out.RATED].to_numpy()).tolist() == [0, 7]
    nothing[2], nothing[4] = 89, 77
    assert answers[leave_last_out.PAUSE].to_pylist() == nothing


def test_no_row_is_trained_on_and_asked_for(tmp_path):
    generate(tmp_path / "data", ratings=3000, users=60, movies=120, seed=3)
    rows = tmp_path / "rows"
    leave_last_out.make(tmp_path / "data", ExampleGenConfig(), rows)
    before = splits.accepted(rows / leave_last_out.DATASET)
    assert len(before) == 3000 - 60
    train, valid = (pq.read_table(rows / name) for name in (splits.TRAIN, splits.VALID))
    assert [train, valid] == splits.divide(before, ExampleGenConfig())[:2]
    questions, answers = (pq.read_table(rows / name) for name in (splits.QUESTIONS, splits.ANSWERS))
    assert len(questions) == 60 * 120
    pairs = {
        (row[features.UID.name], row[features.MID.name])
        for row in questions.filter(pc.is_valid(answers[features.RATING.name])).to_pylist()
    }
    assert len(pairs) == 60
    assert not pairs & {(row[features.UID.name], row[features.MID.name]) for row in before.to_pylist()}
    latest = before.group_by(features.UID.name).aggregate([(features.TIMESTAMP.name, "max")])
    times = dict(zip(*(column.to_pylist() for column in latest.columns), strict=True))
    assert all(row[features.TIMESTAMP.name] >= times[row[features.UID.name]] for row in questions.to_pylist())
