"""Nothing of the test split reaches what is trained: the graph's nodes on ratings, and on others to test."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.ratings_example_gen.artifacts import INPUT_FINGERPRINT, INPUTS
from components.ratings_example_gen.config import ExampleGenConfig, SplitMethod
from components.ratings_example_gen.inputs import find_inputs
from components.ratings_example_gen.split import SPLITS, TEST, TRAIN, VALID
from components.served_model.properties import BASELINE_VERSION, NO_VERSION, TRAINING_IDENTITY
from components.trainer.model_files import KERAS_MODEL_PATH, KERAS_ORDER_PATH
from pipeline.config import PRESETS, PipelineConfig
from pipeline.dataset.generated import generate
from pipeline.graph import create_pipeline
from schema import features
from tests.benchmarks.quality import splits

RATINGS, USERS, MOVIES = 6_000, 100, 80
LABEL = features.LABEL.name

NODES = ("RatingsExampleGen", "ImportSchemaGen", "ServedModel", "Transform", "Trainer")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated") / "small"
    generate(folder, ratings=RATINGS, users=USERS, movies=MOVIES, seed=3)
    return folder


def configuration(split, data_folder, root):
    """The preset `default`, but small."""
    config = PRESETS["default"](
        PipelineConfig(
            dataset="small",
            data_folder=data_folder,
            root=root,
            generated=True,
            example_gen=ExampleGenConfig(split=split),
        )
    )
    sizes = {
        "burn_in": 2,
        "settling": 1,
        "sweeps": 2,
        "implicit_rank": 4,
        "choice_dim": 4,
        "choice_epochs": 1,
    }
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, embedding_dim=4, hidden_units=(8,)),
        train=dataclasses.replace(config.train, **sizes),
    )


class Run:
    """What the nodes up to the Trainer make where nothing is served yet, without the gates between them."""

    def __init__(self, config):
        inputs = find_inputs(str(config.data_folder), None)
        drivers = {  # what these add to the properties
            "RatingsExampleGen": {INPUTS: inputs.to_json(), INPUT_FINGERPRINT: ""},
            "ServedModel": {BASELINE_VERSION: NO_VERSION, TRAINING_IDENTITY: ""},
        }
        nodes = {node.id: node for node in create_pipeline(config).components}
        self._made = {}
        for name in NODES:
            node = nodes[name]
            read = {
                key: [self._made[channel.producer_component_id, channel.output_key]]
                for key, channel in node.inputs.items()
            }
            written = {}
            for key, channel in node.outputs.items():
                (artifact,) = written[key] = [channel.type()]
                artifact.uri = str(config.artifacts / name / key)
                Path(artifact.uri).mkdir(parents=True)
                self._made[name, key] = artifact
            properties = node.exec_properties | drivers.get(name, {})
            node.executor_spec.executor_class().Do(read, written, properties)

    def records(self, node, key, split):
        """The examples of a split as they are stored, in their order."""
        folder = artifact_utils.get_split_uri([self._made[node, key]], SPLITS[split])
        files = sorted(map(str, Path(folder).iterdir()))
        return [
            tf.train.Example.FromString(record).SerializeToString(deterministic=True)
            for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
        ]

    def transformed(self, split):
        """The columns of a split as the Trainer reads them, by name."""
        spec = tft.TFTransformOutput(
            self._made["Transform", "transform_graph"].uri
        ).transformed_feature_spec()
        parsed = tf.io.parse_example(self.records("Transform", "transformed_examples", split), spec)
        return {name: values.numpy() for name, values in parsed.items()}

    def files(self, node, key, part=""):
        """The files of an artifact, or of a folder of it, by name."""
        folder = Path(self._made[node, key].uri, part)
        return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}

    def weights(self, path):
        """The weights of a Keras model by name."""
        model = keras.models.load_model(
            Path(path_utils.serving_model_path(self._made["Trainer", "model"].uri), path)
        )
        return {weight.path: weight.numpy() for weight in model.weights}


def otherwise_tested(rows, parts, split):
    """Return the same rows but for those to test, whose ratings, and times or movies, are others.

    On the random split the times are permuted: user and movie say what a row is for. On the split by time
    those do, and each user's movies are of those that the user has not rated, as far as there are any.
    """
    random, tested = np.random.default_rng(0), parts == TEST
    columns = {name: rows[name].to_numpy().copy() for name in rows.column_names}
    uid, mid = (columns[feature.name] for feature in (features.UID, features.MID))
    permuted = [LABEL] if split == SplitMethod.TIME else [LABEL, features.TIMESTAMP.name]
    for name in permuted:
        columns[name][tested] = random.permutation(columns[name][tested])
    if split == SplitMethod.TIME:
        movies = np.unique(mid)
        for user in np.unique(uid[tested]):
            (places,) = np.nonzero(tested & (uid == user))
            unrated = np.setdiff1d(movies, mid[uid == user])[: len(places)]
            mid[places[: len(unrated)]] = unrated
    return pa.table(columns, rows.schema)


@pytest.mark.parametrize("split", SplitMethod)
def test_what_is_to_test_moves_nothing_that_is_trained(split, dataset, tmp_path):
    rows = splits.accepted(dataset)
    parts = splits.assign(rows, ExampleGenConfig(split=split))
    runs = []
    for name, part in (("given", rows), ("other", otherwise_tested(rows, parts, split))):
        splits.write_dataset(part, dataset, tmp_path / name)
        runs.append(Run(configuration(split, tmp_path / name, tmp_path / f"{name}-runs")))

    counts = np.bincount(parts)
    given, other = (run.records("RatingsExampleGen", "examples", TEST) for run in runs)
    assert len(given) == len(other) == counts[TEST]
    assert np.mean([one != two for one, two in zip(given, other, strict=True)]) > 0.5
    for number in (TRAIN, VALID):
        given, other = (run.records("RatingsExampleGen", "examples", number) for run in runs)
        assert len(given) == counts[number]
        assert given == other, SPLITS[number]
        given, other = (run.transformed(number) for run in runs)
        assert len(given[LABEL]) == counts[number]
        for feature in features.NUMERIC:
            # Beam sums in batches whose size it chooses by the clock.
            z_scores = (columns.pop(feature.z_score_name) for columns in (given, other))
            np.testing.assert_allclose(*z_scores, rtol=1e-5, atol=1e-6)
        np.testing.assert_equal(other, given)

    for part in ("transform_fn/assets", "transformed_metadata"):
        given, other = (run.files("Transform", "transform_graph", part) for run in runs)
        assert given == other, part
        assert given
    assert {feature.vocabulary_name for feature in features.CATEGORICAL} == set(
        runs[0].files("Transform", "transform_graph", "transform_fn/assets")
    )
    given, other = (run.files("RatingsExampleGen", "catalogue") for run in runs)
    rated = "rated/00000-of-00001.parquet"  # what a client leaves out of a ranking: all that is known
    assert (given.pop(rated) == other.pop(rated)) == (split == SplitMethod.RANDOM)
    assert given == other
    assert set(given) == {"movies.parquet", "users.parquet"}

    for path, trained in (
        (
            KERAS_MODEL_PATH,
            (
                f"{features.UID.name}_embedding/table",
                f"{features.MID.name}_embedding/table",
                "user_drift/keys",
                "user_drift/levels",
                "user_drift/stages",
                "hidden_1/dense/kernel",
                "deep_output/kernel",
            ),
        ),
        (KERAS_ORDER_PATH, ("next_movie/start", "next_movie/movie", "next_movie/bias")),
    ):
        given, other = (run.weights(path) for run in runs)
        assert all(np.ptp(given[name]) > 0 for name in trained)
        np.testing.assert_equal(other, given)
