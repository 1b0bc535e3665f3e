import collections
import os
import signal
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.ratings_example_gen.artifacts import Catalogue, RejectedRows
from components.ratings_example_gen.config import ExampleGenConfig, SplitMethod
from components.ratings_example_gen.executor import Executor
from components.ratings_example_gen.inputs import find_inputs
from pipeline.dataset.generated import generate
from schema import features
from tests.benchmarks.quality import splits
from tests.benchmarks.quality.baseline import ROOT


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Generated ratings, and lines that the pipeline rejects: a repeated one, unknown ids, no number."""
    folder = tmp_path_factory.mktemp("data") / "small"
    generate(folder, ratings=3000, users=60, movies=120, seed=3)
    ratings = folder / "ratings.dat"
    first = ratings.read_text().splitlines()[0].split("::")
    bad = ["::".join([*first[:2], "1", "999999999"]), "99999::1::3::1000", "1::99999::3::1000", "1::1::x::1"]
    ratings.write_text(ratings.read_text() + "".join(f"{line}\n" for line in bad))
    return folder


def by_the_pipeline(dataset, config, output):
    """Rows of each split as RatingsExampleGen writes them: uid, mid, rating, time, activity of both."""
    artifacts = {
        "examples": [standard_artifacts.Examples()],
        "rejected_rows": [RejectedRows()],
        "catalogue": [Catalogue()],
    }
    for name, (artifact,) in artifacts.items():
        artifact.uri = str(output / name)
        (output / name).mkdir(parents=True)
    properties = {
        "input_base": str(dataset),
        "example_gen_config": config.to_json(),
        "input_fingerprint": "f",
    }
    properties |= {"run_date": "", "lag_days": 0, "window_days": 0}
    properties["inputs"] = find_inputs(str(dataset), None).to_json()
    Executor().Do({}, artifacts, properties)
    rows = {}
    for split in ("train", "valid", "test"):
        files = list(map(str, (output / "examples" / f"Split-{split}").glob("*")))
        records = tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
        found = [tf.train.Example.FromString(record).features.feature for record in records]
        rows[split] = sorted(
            (
                *(example[f.name].int64_list.value[0] for f in (features.UID, features.MID)),
                example[features.RATING.name].float_list.value[0],
                example[features.TIMESTAMP.name].int64_list.value[0],
                example[features.USER_ACTIVITY.name].bytes_list.value[0].decode(),
                example[features.MOVIE_ACTIVITY.name].bytes_list.value[0].decode(),
            )
            for example in found
        )
    return rows


@pytest.mark.parametrize("method", list(SplitMethod))
def test_rows_and_slices_are_those_of_the_pipeline(dataset, tmp_path, method):
    config = ExampleGenConfig(split=method, max_rejected_fraction=0.1, split_seed=4)
    wanted = by_the_pipeline(dataset, config, tmp_path / "artifacts")
    assert sum(map(len, wanted.values())) == 3000
    rows = tmp_path / "rows"
    splits.make(dataset, config, rows)

    def read(name):
        return [tuple(row.values()) for row in pq.read_table(rows / name).to_pylist()]

    assert read(splits.TRAIN) == [row[:4] for row in wanted["train"]]
    assert read(splits.VALID) == [row[:4] for row in wanted["valid"]]
    assert read(splits.QUESTIONS) == [(row[0], row[1], row[3]) for row in wanted["test"]]
    answers = read(splits.ANSWERS)
    assert [row[0] for row in answers] == [row[2] for row in wanted["test"]]
    # The pipeline counts training rows; a model of the bench is fitted on validation rows too.
    for place in (0, 1):
        counts = collections.Counter(row[place] for part in ("train", "valid") for row in wanted[part])
        cold = [counts[row[place]] < config.cold_below for row in wanted["test"]]
        assert [row[1 + place] == "cold" for row in answers] == cold
        assert all(
            row[4 + place] == "cold" for row, is_cold in zip(wanted["test"], cold, strict=True) if is_cold
        )
    assert {row[2] for row in answers} >= {"cold", "light"}


def test_rows_are_made_again_for_another_configuration_only(dataset, tmp_path):
    one = splits.make(dataset, ExampleGenConfig(), tmp_path / "rows")
    written = (tmp_path / "rows" / splits.TRAIN).stat().st_mtime_ns
    assert splits.make(dataset, ExampleGenConfig(), tmp_path / "rows") == one
    assert (tmp_path / "rows" / splits.TRAIN).stat().st_mtime_ns == written
    train = pq.read_table(tmp_path / "rows" / splits.TRAIN)
    assert splits.make(dataset, ExampleGenConfig(split_seed=1), tmp_path / "rows") != one
    assert pq.read_table(tmp_path / "rows" / splits.TRAIN) != train
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_what_a_killed_bench_left_goes(tmp_path):
    kill = (
        "import os, pathlib, signal; from tests.benchmarks.quality import splits\n"
        f"with splits.made(pathlib.Path({str(tmp_path / 'rows')!r}), 'source') as incoming:\n"
        "    (incoming / 'half').write_text('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", kill], check=False, cwd=ROOT, env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [".rows.incoming"]

    with splits.made(tmp_path / "rows", "source") as incoming:
        assert list(incoming.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]
    assert [path.name for path in (tmp_path / "rows").iterdir()] == [splits.SOURCE]


def test_an_id_is_cold_by_its_training_ratings():
    config = ExampleGenConfig(cold_below=2, heavy_from=3)
    levels = splits.activity_levels(np.array([9, 5, 1, 7, 3]), np.array([5, 7, 7, 3, 3, 3]), config)
    assert levels.tolist() == ["cold", "cold", "cold", "light", "heavy"]


def test_a_split_that_cannot_be_made_is_said(tmp_path, dataset):
    small = tmp_path / "small"
    small.mkdir()
    for name in ("movies.dat", "users.dat"):
        (small / name).write_bytes((dataset / name).read_bytes())
    (small / "ratings.dat").write_text("".join((dataset / "ratings.dat").open().readlines()[:3]))
    with pytest.raises(ValueError, match="split of 3 ratings is empty"):
        splits.make(small, ExampleGenConfig(), tmp_path / "rows")
    assert not (tmp_path / "rows").exists()
