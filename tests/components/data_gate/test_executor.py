import json
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.components.statistics_gen.executor import tfdv  # imported by itself, it lacks what TFX puts in
from tfx.types import standard_artifacts

from components.data_gate.artifacts import DataBlessing
from components.data_gate.executor import REPORT_FILE, Executor, read_findings
from components.errors import RunStoppedError
from schema import features


def anomaly(*names):
    found = anomalies_pb2.Anomalies()
    for name in names:
        found.anomaly_info[name].short_description = "Unexpected string values"
        found.anomaly_info[name].description = "Examples contain values missing from the schema: X (~1%)."
    return found


@pytest.fixture
def gate(tmp_path):
    """Run the gate on the anomalies of each split; return the blessing's folder."""

    def run(**splits):
        anomalies, blessing = standard_artifacts.ExampleAnomalies(), DataBlessing()
        anomalies.uri, blessing.uri = str(tmp_path / "anomalies"), str(tmp_path / "blessing")
        anomalies.split_names = json.dumps(list(splits))
        for split, found in splits.items():
            folder = tmp_path / "anomalies" / f"Split-{split}"
            folder.mkdir(parents=True)
            (folder / "SchemaDiff.pb").write_bytes(found.SerializeToString())
        Path(blessing.uri).mkdir()
        Executor().Do({"anomalies": [anomalies]}, {"data_blessing": [blessing]}, {})
        return Path(blessing.uri)

    return run


def test_clean_splits_pass(gate):
    folder = gate(train=anomaly(), test=anomaly())
    assert json.loads((folder / REPORT_FILE).read_text()) == {"splits": ["train", "test"], "anomalies": []}


def test_anomalies_stop_the_run_and_are_listed(gate):
    with pytest.raises(RunStoppedError) as stopped:
        gate(train=anomaly("genres"), valid=anomaly(), test=anomaly("gender", "zip"))
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
        gate(train=anomaly(*(f"feature_{n:02d}" for n in range(12))))
    lines = str(stopped.value).splitlines()
    assert len(lines) == 13
    assert lines[0].endswith("anomalies: 12")
    assert "`feature_09`" in lines[10]
    assert lines[11] == "  … and 2 more"


def test_a_split_without_examples_is_an_anomaly(gate):
    with pytest.raises(RunStoppedError, match="valid: no examples at all"):
        gate(train=anomaly(), valid=anomalies_pb2.Anomalies(data_missing=True))


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
