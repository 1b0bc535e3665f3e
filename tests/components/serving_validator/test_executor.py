"""The checks on hand-made answers, and a real SavedModel asked in a process of its own."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.errors import RunStoppedError
from components.ratings_example_gen.artifacts import EVALUATION_START, SPANS, Catalogue
from components.ratings_example_gen.properties import FIRST_RATING, LAST_RATING
from components.served_model.properties import BASELINE_VERSION, TRAIN_STATISTICS, TRAINING_IDENTITY
from components.serving_validator.config import ServingValidatorConfig
from components.serving_validator.executor import (
    Executor,
    Questions,
    _ask_and_check,
    build_requests,
    build_warmup,
    check,
)
from components.serving_validator.report import FINGERPRINT, Report
from components.serving_validator.session_check import Answer, Request
from schema import features
from serving import catalogue, rated, versions, warmup

RATING, MID, TIMESTAMP = features.RATING.name, features.MID.name, features.TIMESTAMP.name
SCORE = features.SCORE.name
RECORDS = np.array([b"x", b"y", b"z"], object)
QUESTIONS = Questions(np.array([5, 6, 7]), np.array([8, 9, 10]), np.array([500, 600, 700]))
DAYS = {
    "training": ["2000-04-25", "2003-02-21"],
    "evaluation": ["2003-02-22", "2003-02-28"],
    "missing": [],
    "redelivered": [],
}
CONFIG = ServingValidatorConfig(rows=3, oversized_rows=5, max_predict_ms=10.0, max_rank_ms=20.0)
EXPECTED = np.array([3.0, 4.0, 2.0], np.float32)
MIDS = np.array([30, 10, 20])
RANKED = np.array([10, 30, 20])
SCORES = np.array([1.5, 0.5, -7], np.float32)


def answers(**changes):
    """What a sound model answers, with some of the ratings changed."""
    ratings = {
        "serving_default": EXPECTED,
        "predict": EXPECTED,
        "one": EXPECTED[:1],
        "unknown": np.array([3.5], np.float32),
        "empty": np.empty(0, np.float32),
        "oversized": np.resize(EXPECTED, 5),
        "rank": np.array([4.0, 3.0, 2.0], np.float32),
        "rank_as_predict": EXPECTED,
        "rank_unknown": np.array([3.5, 3.5, 3.5], np.float32),
    }
    return {
        name: Answer({RATING: value} | ({MID: RANKED, SCORE: SCORES} if name == "rank" else {}), 2.0)
        for name, value in (ratings | changes).items()
    }


def score(ratings):
    """The scores of MIDS."""
    np.testing.assert_array_equal(ratings, EXPECTED)
    return np.array([0.5, 1.5, -7], np.float32)


def test_a_sound_model_passes():
    failures, figures = check(answers(), EXPECTED, MIDS, CONFIG, score)
    assert failures == []
    assert figures == {"largest_difference": 0.0, "predict_ms": 2.0, "rank_ms": 2.0}


@pytest.mark.parametrize(
    ("name", "ratings", "failure"),
    [
        ("serving_default", EXPECTED + 0.5, "`serving_default` differs from the training graph by 5.0e-01"),
        (
            "predict",
            EXPECTED + np.array([0, 0.25, 0]),
            "`predict` differs from the training graph by 2.5e-01",
        ),
        ("predict", EXPECTED * np.nan, "`predict` gave a rating that is no number"),
        ("oversized", np.zeros(5), "`oversized` differs from the training graph by 4.0e+00"),
        ("rank", np.array([4.0, 3.5, 2.0]), "`rank` differs from the training graph by 5.0e-01"),
        ("rank", np.array([4.0, 3.0]), "`rank` gave ratings of shape (2,), expected (3,)"),
        ("predict", EXPECTED[:1], "`predict` gave ratings of shape (1,), expected (3,)"),
        ("unknown", np.array([np.nan]), "`unknown` gave a rating that is no number"),
        ("rank_unknown", np.array([3.0, np.inf, 3.0]), "`rank_unknown` gave a rating that is no number"),
        ("empty", np.zeros((0, 1)), "`empty` gave ratings of shape (0, 1), expected (0,)"),
    ],
)
def test_a_wrong_answer_is_named(name, ratings, failure):
    failures, _ = check(answers(**{name: ratings}), EXPECTED, MIDS, CONFIG, score)
    assert len(failures) == 1
    assert failures[0].startswith(failure)


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("one", "`predict_ms` is 30.0, at most 10.0 allowed"),
        ("rank", "`rank_ms` is 30.0, at most 20.0 allowed"),
    ],
)
def test_a_slow_answer_is_named(name, failure):
    slow = answers()
    slow[name] = dataclasses.replace(slow[name], milliseconds=30.0)
    assert check(slow, EXPECTED, MIDS, CONFIG, score)[0] == [failure]


@pytest.mark.parametrize(
    ("mids", "ratings", "scores", "failure"),
    [
        (RANKED, [4.0, 3.0, 3.0], SCORES, "`rank` differs from the training graph by 1.0e+00"),
        (RANKED, [4.0, 3.0, 2.0], [1.5, 0.75, -7], "`score` differs from the training graph by 2.5e-01"),
        ([20, 30, 10], [2.0, 3.0, 4.0], [-7, 0.5, 1.5], "`rank` did not give the best movie first"),
        ([10, 10, 20], [4.0, 4.0, 2.0], SCORES, "`rank` did not give each movie of the request once"),
        (RANKED, [4.0, 3.0, 2.0], [1, np.nan, 0], "`rank` did not give each movie a score"),
        (RANKED, [4.0, 3.0, 2.0], [1, 0], "`rank` did not give each movie a score"),
    ],
)
def test_a_wrong_ranking_is_named(mids, ratings, scores, failure):
    wrong = answers()
    outputs = {RATING: np.array(ratings, np.float32), MID: np.array(mids), SCORE: np.array(scores)}
    wrong["rank"] = Answer(outputs, 2.0)
    failures, _ = check(wrong, EXPECTED, MIDS, CONFIG, score)
    assert len(failures) == 1
    assert failures[0].startswith(failure)


class Doubled(tf.Module):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="x"),
            tf.TensorSpec([None], tf.int64, name=MID),
        ]
    )
    def double(self, x, mid):
        order = tf.argsort(mid)  # the movies of RANKED come as 10, 20, 30
        best = tf.gather(mid, tf.gather(order, [0, 2, 1]))
        return {RATING: 2 * x, MID: best, SCORE: tf.constant(SCORES)}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    module = Doubled()
    tf.saved_model.save(module, str(folder), signatures={"double": module.double})
    return folder


def requests():
    """Requests by the names of the checks, all of one signature; a sound answer is `answers()`."""
    return {
        name: Request("double", {"x": np.asarray(answer.outputs[RATING], np.float32) / 2, MID: MIDS}, 3)
        for name, answer in answers().items()
    }


def test_a_model_is_asked_in_a_fresh_process(model):
    failures, figures = _ask_and_check(str(model), requests(), EXPECTED, CONFIG, score)
    assert failures == []
    assert figures["largest_difference"] == 0
    assert 0 < figures["predict_ms"] < 10


def test_a_model_that_does_not_load_is_a_failure_and_no_crash(tmp_path, model):
    (tmp_path / "saved_model.pb").write_bytes((model / "saved_model.pb").read_bytes()[:100])
    failures, figures = _ask_and_check(str(tmp_path), requests(), EXPECTED, CONFIG, score)
    assert len(failures) == 1
    assert failures[0].startswith(
        f"a fresh process could not serve the model: ModelNotLoadable: cannot load {tmp_path}: "
    )
    assert "Traceback" in figures["stderr"]


def test_a_model_that_does_not_answer_is_a_failure(model):
    asked = requests() | {"one": Request("triple", {})}
    failures, _ = _ask_and_check(str(model), asked, EXPECTED, CONFIG, score)
    assert failures == [
        'a fresh process could not serve the model: SignatureNotFound: Serving signature key "triple" not '
        "found."
    ]


def test_a_process_that_never_answers_stops_the_run_without_a_verdict(model):
    config = dataclasses.replace(CONFIG, max_seconds=0.05)
    with pytest.raises(
        RunStoppedError, match=r"model was not ready for it within 0\.05 s\. That says nothing"
    ):
        _ask_and_check(str(model), requests(), EXPECTED, config, score)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Put a module before what is installed, for processes that start from now on."""

    def put(name, source):
        (tmp_path / "installed").mkdir()
        (tmp_path / "installed" / f"{name}.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "installed"))

    return put


BROKEN = 'raise ImportError("libscipy.so: cannot open shared object file")'


def test_a_process_that_cannot_import_stops_the_run_without_a_verdict(model, installed):
    installed("tensorflow", BROKEN)
    with pytest.raises(RunStoppedError) as stopped:
        _ask_and_check(str(model), requests(), EXPECTED, CONFIG, score)
    assert str(stopped.value) == (
        "a fresh process that was to load the model failed before it touched the model: ImportError: "
        "libscipy.so: cannot open shared object file. That says nothing of the model: see to the machine "
        "(memory, disk) and to what is installed on it, and run again"
    )
    assert not stopped.value.of_data


@pytest.mark.parametrize(
    ("fault", "touched", "said"),
    [
        (
            BROKEN,
            "trial",
            "failed before it touched the model: serving.errors.ModelNotLoadable: cannot load ",
        ),
        (BROKEN, "model", "failed while it had the model: serving.errors.ModelNotLoadable: cannot load "),
        (
            'raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")',
            "model",
            "failed while it had the model: serving.errors.ModelNotLoadable: cannot load ",
        ),
        ("os.kill(os.getpid(), 9)", "model", r"was ended by signal 9 \(Killed\) while it had the model\."),
        ("os.abort()", "model", r"was ended by signal 6 \(Aborted\) while it had the model\."),
    ],
    ids=["import_before", "import", "disk", "kill", "abort"],
)
def test_what_is_not_the_models_fault_stops_the_run_without_a_verdict(model, installed, fault, touched, said):
    installed(
        "sitecustomize",
        f"""
import os, sys
if "session_check" in " ".join(sys.orig_argv):
    import tensorflow as tf
    load = tf.compat.v1.saved_model.load
    def faulty(session, tags, path):
        if os.path.basename(path).startswith({touched!r}):
            {fault}
        return load(session, tags, path)
    tf.compat.v1.saved_model.load = faulty
""",
    )
    with pytest.raises(
        RunStoppedError, match=f"a fresh process that was to load the model {said}"
    ) as stopped:
        _ask_and_check(str(model), requests(), EXPECTED, CONFIG, score)
    way_out = (
        "and run again. If it comes again, have another model trained: add --cold, or leave this day out by "
        "`deepfm retrain --from` with the day after it"
    )
    assert str(stopped.value).endswith(way_out if touched == "model" else "and run again")


@pytest.fixture
def validate(data, trained, tmp_path):
    """Run the whole executor on a trained model, and return the blessing's artifact."""

    def run(**config):
        (tmp_path / "examples" / "Split-test").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(tmp_path / "examples/Split-test/data.gz"), "GZIP") as writer:
            for example in data.examples[:40]:
                writer.write(example)
        shutil.copytree(trained / "model", tmp_path / "model" / "Format-Serving")
        users = {
            row[features.UID.name]: row | {features.ZIP.name: "".join(row[features.ZIP.name]) or None}
            for row in data.rows
        }
        movies = {row[features.MID.name]: row | {features.TITLE.name: "T"} for row in data.rows}
        catalogue.write(
            pa.Table.from_pylist(list(movies.values()), catalogue.MOVIES),
            pa.Table.from_pylist(list(users.values()), catalogue.USERS),
            tmp_path / "catalogue",
        )
        pairs = pa.table({features.UID.name: [1, 1, 2], features.MID.name: [3, 4, 3]})
        rated.write_part(pairs, tmp_path / "catalogue", part=0, parts=1)
        (tmp_path / "statistics" / "Split-train").mkdir(parents=True)
        (tmp_path / "statistics" / "Split-train" / "FeatureStats.pb").write_bytes(b"statistics")
        artifacts = {
            "model": standard_artifacts.Model(),
            "examples": standard_artifacts.Examples(),
            "transform_graph": standard_artifacts.TransformGraph(),
            "catalogue": Catalogue(),
            "statistics": standard_artifacts.ExampleStatistics(),
            "baseline_model": standard_artifacts.Model(),
            "blessing": standard_artifacts.InfraBlessing(),
        }
        for name, artifact in artifacts.items():
            artifact.uri = str(tmp_path / name)
        artifacts["transform_graph"].uri = str(data.folder / "graph")
        artifacts["examples"].split_names = '["test"]'
        artifacts["statistics"].split_names = '["train"]'
        artifacts["examples"].set_int_custom_property(FIRST_RATING, 956703932)
        artifacts["examples"].set_int_custom_property(LAST_RATING, 1046454590)
        artifacts["examples"].set_string_custom_property(EVALUATION_START, "2003-02-22")
        artifacts["examples"].set_string_custom_property(SPANS, json.dumps(DAYS))
        artifacts["baseline_model"].set_int_custom_property(BASELINE_VERSION, 7)
        artifacts["baseline_model"].set_string_custom_property(TRAINING_IDENTITY, "identity")
        blessing = artifacts.pop("blessing")
        Executor().Do(
            {name: [artifact] for name, artifact in artifacts.items()},
            {"blessing": [blessing]},
            {
                "validator_config": ServingValidatorConfig(**config).to_json(),
                "manifest": json.dumps({"dataset": "d"}),
            },
        )
        return blessing

    return run


def test_a_sound_model_is_blessed_and_put_together(validate, data, trained):
    blessing = validate()
    assert Report.read(blessing.uri).failures == []
    assert blessing.get_int_custom_property("blessed") == 1
    assert Path(blessing.uri, "INFRA_BLESSED").is_file()
    assert blessing.get_string_custom_property(FINGERPRINT) == versions.content_fingerprint(trained / "model")
    version = Path(path_utils.stamped_model_path(blessing.uri))
    assert json.loads((version / versions.MANIFEST).read_text()) == {
        "dataset": "d",
        "first_rating": 956703932,
        "last_rating": 1046454590,
        "evaluation_start": "2003-02-22",
        SPANS: DAYS,
        BASELINE_VERSION: 7,
        TRAINING_IDENTITY: "identity",
    }
    assert Path(version, TRAIN_STATISTICS).read_bytes() == b"statistics"
    tables = catalogue.Catalogue.load(version / catalogue.FOLDER)
    assert len(tables.mids) == len({row[features.MID.name] for row in data.rows})
    assert [tables.rated(uid).tolist() for uid in (1, 2, 3)] == [[3, 4], [3], []]
    logs = tf.data.TFRecordDataset(str(version / warmup.REQUESTS)).as_numpy_iterator()
    assert len(list(logs)) == 3 * 20


def test_a_model_over_a_bound_is_not_blessed_and_says_why(validate):
    blessing = validate(max_bytes=1000, max_rank_ms=1e-6)
    slow, big = Report.read(blessing.uri).failures
    assert slow.startswith("`rank_ms` is ")
    assert big.endswith(" bytes, at most 1,000 allowed")
    assert blessing.get_int_custom_property("blessed") == 0
    assert Path(blessing.uri, "INFRA_NOT_BLESSED").is_file()
    assert not Path(blessing.uri, "INFRA_BLESSED").exists()


def test_a_broken_environment_leaves_no_verdict(validate, installed, tmp_path):
    installed("tensorflow", BROKEN)
    with pytest.raises(RunStoppedError, match=r"libscipy\.so"):
        validate()
    left = {path.name for path in (tmp_path / "blessing").iterdir()}
    assert left == {"stamped_model"}  # neither INFRA_NOT_BLESSED nor a report


def test_warm_up_requests_grow_and_take_every_signature():
    built = build_warmup(RECORDS, QUESTIONS, catalogue.Catalogue.empty(), 2)
    assert [name for name, _ in built] == ["serving_default", "predict", "rank"] * 2
    assert built[3][1]["examples"].tolist() == [b"x", b"y"]
    assert built[4][1][MID].tolist() == [8, 9]
    assert built[4][1][TIMESTAMP].tolist() == [500, 600]
    assert built[5][1][features.UID.name].tolist() == [6]
    assert built[5][1][TIMESTAMP].tolist() == [600]


def test_requests_ask_about_the_moments_of_the_examples():
    table = pa.table(
        {MID: [1, 2], features.TITLE.name: ["A", "B"], features.GENRES.name: [[], []]}, catalogue.MOVIES
    )
    tables = catalogue.Catalogue(table, catalogue.USERS.empty_table())
    asked = build_requests(RECORDS, QUESTIONS, tables, CONFIG)
    assert {
        name: one.inputs[TIMESTAMP].tolist() for name, one in asked.items() if TIMESTAMP in one.inputs
    } == {
        "predict": [500, 600, 700],
        "one": [500],
        "unknown": [-1],
        "empty": [],
        "oversized": [500, 600, 700, 500, 600],
        "rank": [500],
        "rank_as_predict": [500, 500],
        "rank_unknown": [-1],
    }
    assert asked["rank"].inputs[features.UID.name].tolist() == [5]
    assert asked["oversized"].inputs[MID].tolist() == [8, 9, 10, 8, 9]


def test_a_report_is_read_as_it_was_written(tmp_path):
    report = Report(["too slow"], {"predict_ms": 30.0})
    report.write(str(tmp_path))
    assert Report.read(str(tmp_path)) == report


def test_bounds_out_of_range_are_refused():
    with pytest.raises(ValueError, match="`tolerance` must be positive, got 0"):
        ServingValidatorConfig(tolerance=0)
    with pytest.raises(ValueError, match="`max_rank_ms` must be positive, got nan"):
        ServingValidatorConfig(max_rank_ms=float("nan"))
    with pytest.raises(ValueError, match="`warmup_requests` must be at most 300, got 301"):
        ServingValidatorConfig(warmup_requests=301)
