import json
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
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
        "the data does not fit schema/schema.pbtxt, 3 anomalies:",
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
    assert "12 anomalies" in lines[0]
    assert "`feature_09`" in lines[10]
    assert lines[11] == "  … and 2 more"


def test_a_split_without_examples_is_an_anomaly(gate):
    with pytest.raises(RunStoppedError, match="valid: no examples at all"):
        gate(train=anomaly(), valid=anomalies_pb2.Anomalies(data_missing=True))


def test_what_the_reviewed_schema_does_not_know_is_named(tmp_path):
    schema = text_format.Parse(features.SCHEMA_PATH.read_text(), schema_pb2.Schema())
    for feature in list(schema.feature):
        if feature.name != features.GENDER.name:
            schema.feature.remove(feature)
    statistics = text_format.Parse(
        """datasets { num_examples: 4 features {
             path { step: "gender" } type: STRING
             string_stats {
               common_stats { num_non_missing: 4 min_num_values: 1 max_num_values: 1 avg_num_values: 1 }
               unique: 2
               rank_histogram {
                 buckets { label: "F" sample_count: 3 } buckets { label: "unknown" sample_count: 1 }
               }
             } } }""",
        statistics_pb2.DatasetFeatureStatisticsList(),
    )
    path = tmp_path / "SchemaDiff.pb"
    path.write_bytes(tfdv.validate_statistics(statistics, schema).SerializeToString())
    (finding,) = read_findings(str(path), "train")
    assert finding.startswith("train: `gender`: Unexpected string values: ")
    assert "unknown" in finding
