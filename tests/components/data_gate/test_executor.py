import collections
import dataclasses
import json
import shutil

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.components.statistics_gen.executor import tfdv  # imported by itself, it lacks what TFX puts in
from tfx.types import standard_artifacts

from components.data_gate.artifacts import DataBlessing
from components.data_gate.config import DataGateConfig, Kind, Severity
from components.data_gate.executor import Executor, read_findings
from components.data_gate.report import Report
from components.errors import RunStoppedError
from components.ratings_example_gen.artifacts import SPANS, RejectedRows
from components.ratings_example_gen.counts import COUNTS_FILE, RowCounts, to_json
from components.ratings_example_gen.facts import RatingFacts
from components.served_model.properties import BASELINE_VERSION
from schema import features
from serving import request_log, warmup


def anomaly(*names):
    found = anomalies_pb2.Anomalies()
    for name in names:
        found.anomaly_info[name].short_description = "Unexpected string values"
        found.anomaly_info[name].description = "Examples contain values missing from the schema: X (~1%)."
    return found


DAYS = {
    "training": ["2000-12-01", "2000-12-30"],
    "evaluation": ["2000-12-31", "2000-12-31"],
    "missing": [],
    "redelivered": [],
}


def ratings(**last_day):
    """Counts of 31 days of 100 ratings, the last of which differs."""
    usual = RatingFacts(rows=100, squared_rows=100, ratings=400.0, squared_ratings=1700.0)
    names = [f"span-2000-12-{n:02d}/ratings.dat" for n in range(1, 32)]
    facts = dict.fromkeys(names, usual) | {names[-1]: dataclasses.replace(usual, **last_day)}
    return RowCounts(read_by_file=collections.Counter(dict.fromkeys(names, 100)), facts_by_file=facts)


@pytest.fixture
def gate(tmp_path, statistics, write_ids):
    """Run the gate on the anomalies of each split and what else is given; return the blessing's folder."""

    def run(
        *,
        anomalies=None,
        version=0,
        train=None,
        test=None,
        served=None,
        manifest=None,
        days=None,
        uids=(),
        config=None,
        accept_data=False,
    ):
        kinds = {
            "anomalies": standard_artifacts.ExampleAnomalies,
            "statistics": standard_artifacts.ExampleStatistics,
            "schema": standard_artifacts.Schema,
            "examples": standard_artifacts.Examples,
            "rejected_rows": RejectedRows,
            "baseline_model": standard_artifacts.Model,
            "data_blessing": DataBlessing,
        }
        artifacts = {name: kind() for name, kind in kinds.items()}
        for name, artifact in artifacts.items():
            artifact.uri = str(tmp_path / name)
            (tmp_path / name).mkdir()
        for name in ("anomalies", "statistics", "examples"):
            artifacts[name].split_names = json.dumps(["train", "valid", "test"])
            for split in ("train", "valid", "test"):
                (tmp_path / name / f"Split-{split}").mkdir()
        for split in ("train", "valid", "test"):
            found = (anomalies or {}).get(split, anomalies_pb2.Anomalies())
            (tmp_path / "anomalies" / f"Split-{split}" / "SchemaDiff.pb").write_bytes(
                found.SerializeToString()
            )
        for split, given in (("train", train), ("test", test)):
            (tmp_path / "statistics" / f"Split-{split}" / "FeatureStats.pb").write_bytes(
                (given or statistics()).SerializeToString()
            )
        write_ids(tmp_path / "examples" / "Split-test" / "data-0.gz", [(uid, 1) for uid in uids])
        shutil.copy(features.SCHEMA_PATH, tmp_path / "schema" / "schema.pbtxt")
        artifacts["baseline_model"].set_int_custom_property(BASELINE_VERSION, version)
        if version:
            extra = tmp_path / "baseline_model" / "Format-Serving" / "assets.extra"
            extra.mkdir(parents=True)
            (extra / "manifest.json").write_text(json.dumps(manifest or {}))
            if served:
                (extra / "train_statistics.pb").write_bytes(served.SerializeToString())
        if days:
            artifacts["examples"].set_string_custom_property(SPANS, json.dumps(DAYS))
            counts = to_json({"ratings.dat": days})
            (tmp_path / "rejected_rows" / COUNTS_FILE).write_text(counts)
        blessing = artifacts.pop("data_blessing")
        Executor().Do(
            {name: [artifact] for name, artifact in artifacts.items()},
            {"data_blessing": [blessing]},
            {
                "data_gate_config": (config or DataGateConfig()).to_json(),
                "serving_dir": str(tmp_path / "serving" / "deepfm"),
                "accept_data": accept_data,
            },
        )
        return Report.read(blessing.uri)

    return run


def test_clean_splits_pass(gate):
    assert gate() == Report(
        splits=["train", "valid", "test"],
        baseline="no model was served before this one: no drift to measure",
        notes=["newest rows: 100 in test, 1,000 needed", "requests: 0 logged, 1,000 needed"],
    )


def distant(statistics, rows=100):
    """Rows of other genres."""
    return statistics(rows, **{features.GENRES.name: [["Western"]] * rows})


def test_drift_stops_the_run_and_is_listed(gate, statistics):
    with pytest.raises(RunStoppedError) as stopped:
        gate(
            version=3,
            train=statistics(5000),
            served=distant(statistics, 5000),
            days=ratings(ratings=500.0),
            manifest={},
        )
    assert str(stopped.value).splitlines() == [
        "the data is not like what it was before, findings: 2",
        "  train: `genres`: L-infinity distance from version 3 is 1, at most 0.1 allowed",
        "  2000-12-31: `rating`: mean rating (28 days before: 4) is 5, 3.5 to 4.5 allowed",
        "What to do: look at what changed since the served version was trained; look at the day's ratings. "
        "Deliver the data again, or if it is right, let it pass once with --accept-data.",
    ]


def test_data_that_is_accepted_passes_with_warnings(gate, statistics):
    report = gate(
        version=3,
        train=statistics(5000),
        served=distant(statistics, 5000),
        days=ratings(ratings=500.0),
        accept_data=True,
    )
    assert [(f.kind, f.severity) for f in report.findings] == [
        (Kind.DRIFT, Severity.WARN),
        (Kind.MEAN_RATING, Severity.WARN),
    ]
    assert (report.baseline, report.days) == ("compared with version 3", ["2000-12-31"])
    assert report.text == "no anomalies; compared with version 3; 2 warnings in 9 figures"


def test_days_that_the_served_version_has_seen_are_not_judged_again(gate, statistics):
    report = gate(
        version=3,
        served=statistics(),
        days=ratings(ratings=500.0),
        manifest={SPANS: DAYS},
    )
    assert (report.days, report.measurements) == ([], [])
    assert report.notes == [
        "drift: 100 training rows, 5,000 needed",
        "`uid`: version 3 has no vocabulary of it",
        "`mid`: version 3 has no vocabulary of it",
        "newest rows: 100 in test, 1,000 needed",
        "requests: 0 logged, 1,000 needed",
    ]


def test_a_version_without_statistics_is_told(gate):
    report = gate(version=3)
    assert report.notes[0] == "drift: version 3 has no assets.extra/train_statistics.pb"


def test_logged_requests_unlike_the_training_rows_are_a_warning(gate, tmp_path):
    prefix = request_log.prefix(tmp_path / "serving" / "deepfm")
    asked = {
        features.UID.name: np.arange(1, 21),
        features.GENDER.name: np.array([b"M"] * 20, object),
        features.AGE.name: np.array([25, 35] * 10),
        features.OCCUPATION.name: np.array([0, 20] * 10),
        features.ZIP.name: np.array([b"02139", b"", b"", b""] * 5, object),
    }
    path = prefix.with_name(f"{prefix.name}-1{request_log.SUFFIX}")
    warmup.write_warmup_requests(path, "deepfm", [("predict", asked)])
    report = gate(config=DataGateConfig(min_request_rows=20))
    assert [(m.kind, m.feature) for m in report.measurements] == [
        (Kind.REQUESTS, features.AGE.name),
        (Kind.REQUESTS, features.GENDER.name),
        (Kind.REQUESTS, features.OCCUPATION.name),
        (Kind.REQUESTS, features.ZIP.name),
    ]
    assert [finding.text for finding in report.findings] == [
        "logged requests: `gender`: L-infinity distance from the training split is 0.5, at most 0.4 allowed",
        "logged requests: `zip`: share of rows without a value (the training split: 0.0%) is 0.75, "
        "at most 0.2 allowed",
    ]


@pytest.mark.parametrize("content", [b"", b"\xff"])
def test_damaged_statistics_of_the_served_version_are_named(gate, content):
    class Damaged:
        SerializeToString = staticmethod(lambda: content)

    with pytest.raises(RunStoppedError) as stopped:
        gate(version=3, served=Damaged())
    first, second = str(stopped.value).splitlines()
    assert first.startswith("of a copy of the served version, ")
    assert "train_statistics.pb is damaged: " in first
    assert second == "go back to a sound version with `deepfm rollback`"
    assert not stopped.value.of_data


def test_the_newest_rows_are_held_against_the_training_rows_of_the_first_run_too(gate, statistics):
    with pytest.raises(RunStoppedError) as stopped:
        gate(test=distant(statistics, 1000))
    assert str(stopped.value).splitlines()[1:] == [
        "  test: `genres`: L-infinity distance from the training split is 1, at most 0.2 allowed",
        "What to do: look at the newest days. "
        "Deliver the data again, or if it is right, let it pass once with --accept-data.",
    ]


def test_what_users_are_like_is_judged_where_there_are_enough(gate, statistics):
    men = statistics(1000, **{features.GENDER.name: [["M"]] * 1000})
    with pytest.raises(RunStoppedError) as stopped:
        gate(test=men, uids=range(20))
    assert str(stopped.value).splitlines()[1] == (
        "  test: `gender`: L-infinity distance from the training split is 0.5, at most 0.4 allowed"
    )


def test_the_distance_of_a_few_users_is_chance(gate, statistics):
    men = statistics(1000, **{features.GENDER.name: [["M"]] * 1000})
    report = gate(test=men, uids=[1, 1, 1, 2])
    assert report.notes[0] == (
        "users of the newest rows: as telling as 1.6 with as many rows each, 20 needed"
    )
    assert {m.feature for m in report.measurements} == {features.GENRES.name, features.RATING.name}


@pytest.mark.parametrize("accept_data", [False, True])
def test_anomalies_stop_the_run_and_are_listed(gate, accept_data):
    with pytest.raises(RunStoppedError) as stopped:
        gate(
            anomalies={"train": anomaly("genres"), "test": anomaly("gender", "zip")}, accept_data=accept_data
        )
    found = "Unexpected string values: Examples contain values missing from the schema: X (~1%)."
    assert str(stopped.value).splitlines() == [
        "the data does not fit schema/schema.pbtxt, anomalies: 3",
        f"  train: `genres`: {found}",
        f"  test: `gender`: {found}",
        f"  test: `zip`: {found}",
        "Mend the data, or review the schema if the data is right.",
    ]


def test_a_long_list_is_cut(gate):
    with pytest.raises(RunStoppedError) as stopped:
        gate(anomalies={"train": anomaly(*(f"feature_{n:02d}" for n in range(12)))})
    lines = str(stopped.value).splitlines()
    assert len(lines) == 13
    assert lines[0].endswith("anomalies: 12")
    assert "`feature_09`" in lines[10]
    assert lines[11] == "  … and 2 more"


def test_a_split_without_examples_is_an_anomaly(gate):
    with pytest.raises(RunStoppedError, match="valid: no examples at all"):
        gate(anomalies={"valid": anomalies_pb2.Anomalies(data_missing=True)})


def validated(tmp_path, **changes):
    """What the gate finds in four literal examples, some of their features changed, None leaves one out."""
    columns = {
        features.UID.name: [[1], [1], [2], [6040]],
        features.MID.name: [[10], [20], [10], [3952]],
        features.GENRES.name: [["Drama"], ["Action", "War"], ["Drama"], ["Film-Noir"]],
        features.GENDER.name: [["F"], ["F"], ["M"], ["M"]],
        features.AGE.name: [[1], [1], [56], [25]],
        features.OCCUPATION.name: [[0], [0], [20], [7]],
        features.ZIP.name: [["02139"], ["02139"], ["V6B 1A1"], None],
        features.TITLE.name: [["A (1990)"], ["B (1991)"], ["A (1990)"], ["C (2000)"]],
        features.RATING.name: [[1.0], [5.0], [3.0], [4.0]],
        features.TIMESTAMP.name: [[956703932], [956703954], [1046454590], [1046454591]],
        features.USER_ACTIVITY.name: [["light"], ["light"], ["cold"], ["heavy"]],
        features.MOVIE_ACTIVITY.name: [["light"], ["cold"], ["light"], ["heavy"]],
    } | changes
    kinds = {f.name: f.dtype for f in features.EXAMPLE}
    types = {
        features.Dtype.INT64: pa.int64(),
        features.Dtype.FLOAT: pa.float32(),
        features.Dtype.BYTES: pa.binary(),
    }
    arrays = {
        name: pa.array(values, pa.list_(types[kinds.get(name, features.Dtype.INT64)]))
        for name, values in columns.items()
        if values is not None
    }
    path = str(tmp_path / "statistics.tfrecord")
    with beam.Pipeline() as pipeline:
        _ = (
            pipeline
            | beam.Create([pa.RecordBatch.from_pydict(arrays)])
            | tfdv.GenerateStatistics(tfdv.StatsOptions())
            | tfdv.WriteStatisticsToTFRecord(path)
        )
    schema = text_format.Parse(features.SCHEMA_PATH.read_text(), schema_pb2.Schema())
    anomalies = tfdv.validate_statistics(tfdv.load_statistics(path), schema)
    (tmp_path / "SchemaDiff.pb").write_bytes(anomalies.SerializeToString())
    return read_findings(str(tmp_path / "SchemaDiff.pb"), "train")


def test_sound_examples_fit_the_reviewed_schema(tmp_path):
    assert validated(tmp_path) == []


@pytest.mark.parametrize(
    ("feature", "values", "kind", "detail"),
    [
        (features.GENDER, [["F"], ["unknown"], ["M"], ["M"]], "Unexpected string values", "unknown"),
        (features.GENRES, [["Drama"], ["Polka"], ["War"], ["War"]], "Unexpected string values", "Polka"),
        (features.RATING, [[1.0], [6.0], [3.0], [4.0]], "Out-of-range values", "6"),
        (features.AGE, [[1], [1], [57], [25]], "Out-of-range values", "57"),
        (features.UID, [[1], [1], [0], [2]], "Out-of-range values", "0"),
        (features.TITLE, [["A"], None, ["A"], ["C"]], "Multiple errors", "fewer examples than expected"),
        (features.TIMESTAMP, None, "Column dropped", "Column is completely missing"),
    ],
)
def test_what_does_not_fit_the_reviewed_schema_is_named(tmp_path, feature, values, kind, detail):
    (finding,) = validated(tmp_path, **{feature.name: values})
    assert finding.startswith(f"train: `{feature.name}`: {kind}")
    assert detail in finding


def test_a_feature_that_the_reviewed_schema_does_not_know_is_named(tmp_path):
    (finding,) = validated(tmp_path, runtime=[[90], [100], [90], [120]])
    assert finding.startswith("train: `runtime`: New column")
