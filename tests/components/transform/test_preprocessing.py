import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from components.transform.config import TransformConfig
from components.transform.preprocessing import preprocessing_fn, zip_to_number
from schema import features

ROWS = [  # uid, mid, genres, gender, age, occupation, timestamp, zip
    (7, 10, ["Drama", "War"], "F", 25, 0, 956703932, "10000"),
    (7, 11, ["Comedy"], "F", 25, 0, 956703932, "10000-1234"),
    (8, 10, ["Drama", "War"], "M", 45, 10, 978300760, "30000"),
    (9, 10, ["Drama", "War"], "M", 45, 10, 1046454590, "V6B 1A1"),
]
RAW_FEATURES = (
    features.UID,
    features.MID,
    features.GENRES,
    features.GENDER,
    features.AGE,
    features.OCCUPATION,
    features.TIMESTAMP,
    features.ZIP,
)


def transform_graph(folder, config):
    """Analyze ROWS; return the transform graph."""
    schema = text_format.Parse(features.SCHEMA_PATH.read_text(), schema_pb2.Schema())
    spec = schema_utils.schema_as_feature_spec(schema).feature_spec
    wanted = [*(f.name for f in RAW_FEATURES), features.RATING.name]
    metadata = dataset_metadata.DatasetMetadata.from_feature_spec({name: spec[name] for name in wanted})
    rows = [
        dict(zip((f.name for f in RAW_FEATURES), (*row[:-1], [row[-1]]), strict=True))
        | {features.RATING.name: 3.0}
        for row in ROWS
    ]
    with tft_beam.Context(temp_dir=str(folder / "tmp")):
        custom = {"transform_config": config.to_json()}
        transform_fn = (rows, metadata) | tft_beam.AnalyzeDataset(lambda x: preprocessing_fn(x, custom))
        _ = transform_fn | tft_beam.WriteTransformFn(str(folder / "graph"))
    return tft.TFTransformOutput(str(folder / "graph"))


def transform_row(graph, *row):
    """Transform one raw row as the served graph does."""
    raw = dict(zip((f.name for f in RAW_FEATURES), row, strict=True))
    inputs = {}
    for feature in RAW_FEATURES:
        value = raw[feature.name]
        if feature in (features.GENRES, features.ZIP):
            inputs[feature.name] = tf.sparse.from_dense([value if isinstance(value, list) else [value]])
        else:
            inputs[feature.name] = tf.constant([value], tf.string if isinstance(value, str) else tf.int64)
    return {name: value.numpy()[0] for name, value in graph.transform_features_layer()(inputs).items()}


def test_a_raw_row_becomes_exactly_this(tmp_path):
    graph = transform_graph(tmp_path, TransformConfig(max_genres=4))
    row = transform_row(graph, *ROWS[0])
    assert row[features.UID.index_name] == 1
    assert row[features.MID.index_name] == 1
    assert row[features.GENRES.index_name].tolist() in ([1, 2, 0, 0], [2, 1, 0, 0])
    np.testing.assert_allclose(row[features.ZIP.z_score_name], -1 / np.sqrt(2), rtol=1e-5)
    np.testing.assert_allclose(row[features.AGE.z_score_name], -1.0, rtol=1e-5)
    np.testing.assert_allclose(row[features.OCCUPATION.z_score_name], -1.0, rtol=1e-5)
    assert row[features.TIMESTAMP.name] == 956703932
    unknown = transform_row(graph, 99, 99, ["Polka"], "X", 99, 99, 2000000000, "V6B 1A1")
    assert unknown[features.UID.index_name] == 4  # three users, then the OOV bucket
    assert unknown[features.MID.index_name] == 3
    assert unknown[features.GENRES.index_name].tolist() == [4, 0, 0, 0]
    assert unknown[features.ZIP.z_score_name] == 0
    missing = transform_row(graph, 7, 10, [""], "", *[features.MISSING_INT] * 3, "")
    for feature in (features.GENDER, features.AGE, features.OCCUPATION):
        assert missing[feature.index_name] == 0
    assert missing[features.GENRES.index_name].tolist() == [0, 0, 0, 0]
    assert missing[features.AGE.z_score_name] == 0
    assert missing[features.TIMESTAMP.name] == features.MISSING_INT


def test_a_row_is_transformed_in_serving_exactly_as_in_training(data):
    graph = tft.TFTransformOutput(str(data.folder / "graph"))
    raw = tf.io.parse_example(data.examples, graph.raw_feature_spec())
    served = graph.transform_features_layer()(raw)
    assert set(served) == set(data.transformed[0])
    for name, values in served.items():
        trained = np.array([row[name] for row in data.transformed])
        np.testing.assert_array_equal(values, trained, err_msg=name)
    unknown = (
        served[features.UID.index_name] == graph.vocabulary_size_by_name(features.UID.vocabulary_name) + 1
    )
    assert np.count_nonzero(unknown) == 20


def test_a_limited_genre_vocabulary_drops_the_others_and_keeps_the_last(tmp_path):
    graph = transform_graph(tmp_path, TransformConfig(max_genres=1, genre_vocabulary_size=2))
    row = transform_row(graph, 7, 10, ["Drama", "War", "Comedy"], "F", 25, 0, 1, "")
    war = graph.vocabulary_by_name(features.GENRES.vocabulary_name).index(b"War") + 1
    assert row[features.GENRES.index_name].tolist() == [war]


@pytest.mark.parametrize(
    ("text", "number", "present"),
    [
        ("98107-2117", 98107, True),
        ("02139", 2139, True),
        (" 02139", 2139, True),
        ("981072117", 98107, True),
        ("V6B 1A1", 0, False),
        ("1234", 0, False),
        ("", 0, False),
    ],
)
def test_zip_to_number(text, number, present):
    values, known = zip_to_number([text])
    assert values.numpy().tolist() == [number]
    assert known.numpy().tolist() == [present]


def test_config_names_the_field_and_the_value():
    with pytest.raises(ValueError, match="`max_genres` must be positive, got 0"):
        TransformConfig(max_genres=0)
    assert TransformConfig.from_json(TransformConfig(genre_vocabulary_size=14).to_json()) == TransformConfig(
        genre_vocabulary_size=14
    )
