import shutil
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from pipeline import cli
from schema import features
from serving import versions

UID, MID, TIMESTAMP = features.UID.name, features.MID.name, features.TIMESTAMP.name


@pytest.fixture
def deepfm(monkeypatch, tmp_path):
    """Run a command in an empty folder; return its exit status and all that it printed."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        result = CliRunner().invoke(cli.app, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return invoke


def test_a_folder_of_pairs(serving, tmp_path, pairs):
    (tmp_path / "in").mkdir()
    columns = {UID: [*pairs[:, 0].tolist(), None, -4], MID: [*pairs[:, 1].tolist(), 5, 5]}
    rows = pa.table({**columns, "line": range(len(pairs) + 2)})
    pq.write_table(rows[:700], tmp_path / "in" / "a.parquet", row_group_size=300)
    pq.write_table(rows[700:], tmp_path / "in" / "b.parquet")
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "batch"]
    done = subprocess.run(
        [*command, f"--model_base_path={serving}", "--input=in", "--output=out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 4
    assert said[0] == f"version 1 answered from {serving}"
    assert said[1] == f"{len(rows):,} rows read, 2 rejected (uid_missing 1, uid_negative 1)"
    assert said[2] == f"{len(pairs):,} rows in out"
    assert said[3].endswith("rows a second")
    answered = pq.read_table(tmp_path / "out")
    assert answered.select(rows.column_names) == rows[:-2]
    assert np.isfinite(answered["prediction"].to_numpy()).all()
    assert answered["version"].unique().to_pylist() == [1]
    assert pq.read_table(tmp_path / "out" / "_rejected").to_pylist() == [
        {UID: None, MID: 5, "line": len(pairs), "reason": "uid_missing"},
        {UID: -4, MID: 5, "line": len(pairs) + 1, "reason": "uid_negative"},
    ]


def test_all_users_of_the_catalogue(deepfm, serving, known, tmp_path):
    status, printed = deepfm("batch", "--model_base_path", str(serving), "--top", "3", "--output", "out")
    assert status == 0, printed
    assert f"{len(known.uids)} rows read, 0 rejected" in printed
    answered = pq.read_table(tmp_path / "out")
    assert printed.splitlines()[-1] == ("this version does not know who has rated what: nothing is left out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "_rejected",
        "part-000000000000.parquet",
    ]
    assert answered[UID].to_pylist() == np.repeat(known.uids, 3).tolist()
    assert answered["rank"].to_pylist() == [1, 2, 3] * len(known.uids)
    by_user = answered["prediction"].to_numpy().reshape(-1, 3)
    assert (np.diff(by_user) <= 0).all()


@pytest.mark.parametrize(("options", "left_out"), [((), True), (("--include-rated",), False)])
def test_what_a_user_has_rated_is_left_out(deepfm, knowing, known, has_rated, tmp_path, options, left_out):
    command = ("batch", "--model_base_path", str(knowing), "--top", "1000", "--output", "out")
    status, printed = deepfm(*command, *options)
    assert status == 0, printed
    assert "nothing is left out" not in printed
    answered = pq.read_table(tmp_path / "out")
    pairs = set(zip(answered[UID].to_pylist(), answered[MID].to_pylist(), strict=True))
    seen = {(uid, mid) for uid, mids in has_rated.items() for mid in mids}
    everything = {(uid, mid) for uid in known.uids.tolist() for mid in known.mids.tolist()}
    assert pairs == (everything - seen if left_out else everything)
    assert f"{len(pairs):,} rows in out" in printed


def test_a_user_who_stands_in_several_rows_is_ranked_once(deepfm, knowing, tmp_path):
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({UID: [5, 3, 5, None], "day": [1, 2, 3, 4]}), tmp_path / "in" / "a.parquet")
    pq.write_table(
        pa.table({UID: [7.0, 3.0, -1.0, 5.0, 2.5]}), tmp_path / "in" / "b.parquet", row_group_size=2
    )
    pq.write_table(pa.table({UID: pa.array([7, 2], pa.uint8())}), tmp_path / "in" / "c.parquet")
    command = ("batch", "--model_base_path", str(knowing), "--input", "in", "--top", "1", "--include-rated")
    status, printed = deepfm(*command, "--output", "out")
    assert status == 0, printed
    assert printed.splitlines()[1] == (
        "11 rows read, 3 rejected (uid_missing 1, uid_negative 1, uid_not_an_integer 1), 4 repeated a user"
    )
    assert pq.read_table(tmp_path / "out")[UID].to_pylist() == [5, 3, 7, 2]
    assert [
        (row[UID], row["reason"])
        for path in sorted((tmp_path / "out" / "_rejected").iterdir())
        for row in pq.read_table(path).to_pylist()
    ] == [(None, "uid_missing"), (-1.0, "uid_negative"), (2.5, "uid_not_an_integer")]


@pytest.mark.parametrize("options", [(), ("--top", "3")])
def test_an_input_whose_rows_are_all_rejected_fails_and_shows_them(deepfm, serving, tmp_path, options):
    pq.write_table(pa.table({UID: [-1, None], MID: [1, 1]}), tmp_path / "in.parquet")
    command = ("batch", "--model_base_path", str(serving), "--input", "in.parquet", "--output", "out")
    status, printed = deepfm(*command, *options)
    assert status == 1
    assert "2 rows read, 2 rejected (uid_negative 1, uid_missing 1)" in printed
    assert "every row was rejected; out/_rejected has all of them, with the reason" in printed
    assert pq.read_table(tmp_path / "out" / "_rejected")["reason"].to_pylist() == [
        "uid_negative",
        "uid_missing",
    ]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_rejected"]


@pytest.mark.parametrize("options", [(), ("--top", "3")])
def test_an_input_without_rows_is_answered_by_none(deepfm, serving, tmp_path, options):
    pq.write_table(
        pa.table({UID: pa.array([], pa.int64()), MID: pa.array([], pa.int64())}), tmp_path / "in.parquet"
    )
    command = ("batch", "--model_base_path", str(serving), "--input", "in.parquet", "--output", "out")
    status, printed = deepfm(*command, *options)
    assert status == 0, printed
    assert "0 rows read, 0 rejected" in printed
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_rejected"]


@pytest.fixture(scope="module")
def of_movies(data):
    """What each movie adds to the rating of the model that reads moments."""
    rows = zip(data.rows, data.transformed, strict=True)
    return {row[MID]: transformed[features.MID.index_name] / 64 for row, transformed in rows}


def test_a_pair_has_its_own_moment_or_that_of_the_run(deepfm, timed_serving, of_movies, tmp_path):
    (tmp_path / "in").mkdir()
    first, movie = 956703932, next(iter(of_movies))
    moments = [first + 3600, None, first + 7200, 978300760000]
    pq.write_table(pa.table({UID: [1] * 4, MID: [movie] * 4, TIMESTAMP: moments}), "in/a.parquet")
    pq.write_table(pa.table({UID: [1], MID: [movie]}), "in/b.parquet")
    command = ("batch", "--model_base_path", str(timed_serving), "--time", "2000-04-26T02:05:32")
    status, printed = deepfm(*command, "--input", "in", "--output", "out")
    assert status == 0, printed
    assert "5 rows read, 2 rejected (timestamp_missing 1, timestamp_too_large 1)" in printed
    answered = [pq.read_table(path).to_pylist() for path in sorted((tmp_path / "out").glob("*.parquet"))]
    assert [[row["prediction"] - of_movies[movie] for row in rows] for rows in answered] == [[1, 2], [3]]
    assert [row[TIMESTAMP] for row in answered[0]] == [first + 3600, first + 7200]


def test_the_moment_of_a_run_is_now_if_not_given(deepfm, timed_serving, of_movies, tmp_path):
    before, movie = time.time(), next(iter(of_movies))
    pq.write_table(pa.table({UID: [1], MID: [movie]}), "in.parquet")
    command = ("batch", "--model_base_path", str(timed_serving), "--input", "in.parquet", "--output", "out")
    status, printed = deepfm(*command)
    assert status == 0, printed
    (rating,) = pq.read_table("out")["prediction"].to_pylist()
    assert before - 3700 <= 956703932 + 3600 * (rating - of_movies[movie]) <= time.time()


def test_rankings_are_of_the_moment_of_the_run(deepfm, timed_serving, of_movies, tmp_path):
    pq.write_table(pa.table({UID: [1, 2]}), tmp_path / "in.parquet")
    command = ("batch", "--model_base_path", str(timed_serving), "--input", "in.parquet", "--top", "2")
    status, printed = deepfm(*command, "--time", "2000-04-26T02:05:32", "--output", "out")
    assert status == 0, printed
    best = [3 + added for added in sorted(of_movies.values())[:-3:-1]]
    assert pq.read_table("out")["prediction"].to_pylist() == best * 2


class Older(tf.Module):
    """A model as it was before requests carried a timestamp: rating = uid/2 + mid/4."""

    def rate(self, **raw):
        return {features.RATING.name: tf.cast(raw[UID], tf.float32) / 2 + tf.cast(raw[MID], tf.float32) / 4}

    def rank(self, **raw):
        rated = self.rate(**raw)[features.RATING.name]
        order = tf.argsort(rated, direction="DESCENDING", stable=True)
        return {MID: tf.gather(raw[MID], order), features.RATING.name: tf.gather(rated, order)}


def test_an_older_version_is_not_told_the_moment(deepfm, serving, tmp_path):
    specs = {
        feature.name: tf.TensorSpec(
            [None, None] if feature.multivalent else [None],
            tf.int64 if feature.dtype is features.Dtype.INT64 else tf.string,
            feature.name,
        )
        for feature in (features.UID, features.MID, *features.USER_FEATURES, *features.MOVIE_FEATURES)
    }
    older = Older()
    signatures = {
        name: tf.function(function).get_concrete_function(**specs)
        for name, function in (("predict", older.rate), ("rank", older.rank))
    }
    tf.saved_model.save(older, str(tmp_path / "model"), signatures)
    shutil.copytree(serving / "1" / "assets.extra", tmp_path / "model" / "assets.extra")
    versions.publish(tmp_path / "model", tmp_path / "base", fingerprint="older")
    pq.write_table(pa.table({UID: [1, 2], MID: [2, 3], TIMESTAMP: [5, 6]}), tmp_path / "in.parquet")
    command = ("batch", "--model_base_path", "base", "--input", "in.parquet", "--output")
    status, printed = deepfm(*command, "rated")
    assert status == 0, printed
    assert pq.read_table("rated")["prediction"].to_pylist() == [1.0, 1.75]
    status, printed = deepfm(*command, "ranked", "--top", "1")
    assert status == 0, printed
    best = max(pq.read_table("model/assets.extra/catalogue/movies.parquet")[MID].to_pylist())
    assert pq.read_table("ranked")["prediction"].to_pylist() == [0.5 + best / 4, 1 + best / 4]


def test_the_version_that_is_told(deepfm, serving, tmp_path):
    base = tmp_path / "two"
    for fingerprint in ("one", "two"):
        versions.publish(serving / "1", base, fingerprint=fingerprint)
    pq.write_table(pa.table({UID: [1], MID: [1]}), tmp_path / "in.parquet")
    shared = ("batch", "--model_base_path", str(base), "--input", "in.parquet")
    for arguments, version in (((), 2), (("--version", "1"), 1)):
        status, printed = deepfm(*shared, "--output", f"out{version}", *arguments)
        assert status == 0, printed
        assert pq.read_table(tmp_path / f"out{version}")["version"].to_pylist() == [version]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give --input, a Parquet file of pairs, or --top"),
        (("--input", "pairs.parquet", "--include-rated"), "--include-rated goes with --top"),
        (("--input", "nowhere"), "nowhere does not exist"),
        (("--input", "users.parquet"), "must have one column `mid`, got ['uid']"),
        (("--input", "pairs.parquet", "--version", "7"), "no version 7 in"),
        (("--input", "pairs.parquet", "--model_base_path", "empty"), "empty holds no version"),
        (("--input", "damaged.parquet"), "damaged.parquet"),
        (("--input", "pairs.parquet", "--output", "empty"), "empty exists; name a folder that does not"),
        (("--top", "3", "--model_base_path", "bare"), "users.parquet does not exist"),
        (("--input", "pairs.parquet", "--model_base_path", "bare"), "catalogue"),
    ],
)
def test_a_slip_is_a_few_words_and_leaves_nothing(deepfm, serving, tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare" / "1").mkdir(parents=True)
    (tmp_path / "bare" / "1" / "saved_model.pb").touch()
    pq.write_table(pa.table({UID: [1]}), tmp_path / "users.parquet")
    pq.write_table(pa.table({UID: [1], MID: [1]}), tmp_path / "pairs.parquet")
    # The footer is whole, the data are not.
    content = bytearray((tmp_path / "pairs.parquet").read_bytes())
    content[4:60] = bytes(56)
    (tmp_path / "damaged.parquet").write_bytes(content)
    before = sorted(tmp_path.iterdir())
    status, printed = deepfm("batch", "--output", "out", "--model_base_path", str(serving), *arguments)
    assert status == 1
    assert said in printed
    assert len(printed.splitlines()) == 1, printed
    assert sorted(tmp_path.iterdir()) == before
