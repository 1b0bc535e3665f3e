"""What one model hands on to the next, value by value."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from components.deepfm.config import ARCHITECTURES, PAIRWISE_ARCHITECTURES, TWO_SIDED, DeepFMConfig
from components.deepfm.fields import CategoricalField, NumericField
from components.deepfm.model import build_model, embedding_tables
from components.errors import RunStoppedError
from components.trainer import warm_start
from components.trainer.start import Entries
from components.trainer.warm_start import WARM_START_FILE, DoesNotFitError, Snapshot
from schema import features

UID, MID, ZIP, TIMESTAMP = features.UID, features.MID, features.ZIP, features.TIMESTAMP
CONFIG = DeepFMConfig(
    categorical=(UID.name, MID.name), numeric=(ZIP.name,), embedding_dim=2, hidden_units=(3,)
)
DRAWN = {
    "architecture": TWO_SIDED,
    "drift_seconds": (60.0,),
    "embedding_l2": 0.0,
    "oov_dropout_rate": 0.0,
}
OLD = {UID.name: [b"7", b"3", b"9"], MID.name: [b"10", b"20"]}
NEW = {UID.name: [b"9", b"5", b"7"], MID.name: [b"20", b"10", b"30"]}
UID_TABLE = "uid_embedding/table"


def build(vocabularies, config=CONFIG, oov_buckets=1, seed=0):
    """Return a model and the fields that it was built with."""
    fields = [
        CategoricalField(
            name=feature.name,
            index_name=feature.index_name,
            vocabulary_size=len(vocabularies[feature.name]),
            oov_buckets=oov_buckets,
        )
        for feature in (UID, MID)
    ]
    numeric = [NumericField(name=ZIP.name, input_name=ZIP.z_score_name)]
    return build_model(config, fields, numeric, rating_mean=3.5, seed=seed), fields


def take(model, config=CONFIG, vocabularies=OLD):
    return warm_start.snapshot(model, config, vocabularies)


def weights(model):
    return {weight.path: weight.numpy() for weight in model.weights}


def rate(model, vocabularies, pairs):
    """Predict pairs of entries; one that the vocabulary lacks has the only OOV index."""
    inputs = {}
    for column, feature in enumerate((UID, MID)):
        entries = vocabularies[feature.name]
        index = {entry: number for number, entry in enumerate(entries, 1)}
        inputs[feature.index_name] = np.array([index.get(pair[column], len(entries) + 1) for pair in pairs])
    inputs[TIMESTAMP.name] = np.full(len(pairs), 978_300_000)
    inputs[ZIP.z_score_name] = np.linspace(-1, 1, len(pairs), dtype=np.float32)
    return model({name: inputs[name] for name in model.input}, training=False).numpy()


@pytest.fixture
def served():
    """A model whose every weight is another number."""
    model, _ = build(OLD)
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(size=weight.shape))
    return model


def test_an_entry_keeps_its_embedding_and_a_new_one_begins_with_that_of_the_oov_bucket(served):
    model, fields = build(NEW, seed=1)
    entries = warm_start.take_over(model, CONFIG, fields, NEW, take(served), share=1.0)
    assert entries == {
        UID.name: Entries(kept=2, new=1, gone=1),
        MID.name: Entries(kept=2, new=1, gone=0),
    }
    before, after = weights(served), weights(model)
    for table in (UID_TABLE, "first_order/uid_index/table"):
        _, seven, _, nine, oov = before[table]
        np.testing.assert_array_equal(after[table][1:], [nine, oov, seven, oov])
    for table in ("mid_embedding/table", "first_order/mid_index/table"):
        _, ten, twenty, oov = before[table]
        np.testing.assert_array_equal(after[table][1:], [twenty, ten, oov, oov])
    rest = before.keys() - embedding_tables(model, fields).keys()
    assert len(rest) == 7
    for path in rest:
        np.testing.assert_array_equal(after[path], before[path])


def test_a_share_of_the_served_weights_is_that_and_the_rest_is_initial(served):
    initial, before = (weights(model) for model in (build(NEW, seed=1)[0], served))
    model, fields = build(NEW, seed=1)
    warm_start.take_over(model, CONFIG, fields, NEW, take(served), share=0.75)
    after = weights(model)
    np.testing.assert_allclose(
        after["hidden_1/dense/kernel"],
        0.75 * before["hidden_1/dense/kernel"] + 0.25 * initial["hidden_1/dense/kernel"],
        atol=1e-6,
    )
    nine = 3  # its row in the table of the served model; 1 in that of the new one
    np.testing.assert_allclose(
        after[UID_TABLE][1], 0.75 * before[UID_TABLE][nine] + 0.25 * initial[UID_TABLE][1], atol=1e-6
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_before_the_first_step_the_new_model_predicts_what_the_served_one_does(architecture):
    numeric = () if architecture in PAIRWISE_ARCHITECTURES else CONFIG.numeric
    own = DRAWN if architecture == TWO_SIDED else {"architecture": architecture}
    config = dataclasses.replace(CONFIG, numeric=numeric, clip_rating=False, **own)
    old, _ = build(OLD, config)
    # Variances, which must not be negative, are among the weights; the drift is not handed on.
    for weight in [*old.trainable_weights, *(w for w in old.weights if "moving" in w.name)]:
        weight.assign(np.abs(np.random.default_rng(len(weight.path)).normal(size=weight.shape)))
    new, fields = build(NEW, config, seed=1)
    warm_start.take_over(new, config, fields, NEW, take(old, config), share=1.0)
    # Known ones, new ones, and ones that neither knows.
    pairs = [(uid, mid) for uid in (b"7", b"9", b"5", b"1") for mid in (b"10", b"20", b"30", b"1")]
    expected = rate(old, OLD, pairs)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(rate(new, NEW, pairs), expected, atol=1e-5)


def test_a_new_entry_begins_with_the_oov_bucket_that_the_transform_graph_gave_it():
    buckets = 4
    new = {UID.name: [str(number).encode() for number in range(3, 40)], MID.name: OLD[MID.name]}
    old_model, _ = build(OLD, oov_buckets=buckets)
    model, fields = build(new, oov_buckets=buckets, seed=1)
    warm_start.take_over(model, CONFIG, fields, new, take(old_model), share=1.0)
    keys = np.array([int(entry) for entry in OLD[UID.name]])
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.KeyValueTensorInitializer(keys, np.arange(len(keys))), buckets, lookup_key_dtype=tf.int64
    )
    indices = 1 + table.lookup(tf.range(3, 40, dtype=tf.int64)).numpy()
    assert set(indices) > set(range(4, 8))
    np.testing.assert_array_equal(weights(model)[UID_TABLE][1:38], weights(old_model)[UID_TABLE][indices])
    np.testing.assert_array_equal(weights(model)[UID_TABLE][38:], weights(old_model)[UID_TABLE][4:])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"embedding_dim": 4}, "`embedding_dim` was 2, is 4"),
        ({"hidden_units": (3, 3)}, "`hidden_units` was [3], is [3, 3]"),
        ({"architecture": "deep"}, "`architecture` was deepfm, is deep"),
        ({"numeric": ()}, "`numeric` was ['zip'], is []"),
        # The same shapes, and all the same another meaning.
        ({"categorical": (MID.name, UID.name)}, "`categorical` was ['uid', 'mid'], is ['mid', 'uid']"),
        ({"deep_output_activation": "relu"}, "`deep_output_activation` was None, is relu"),
        (
            DRAWN | {"chains": 2},
            "`architecture` was deepfm, is two_sided; `chains` was 1, is 2",
        ),
    ],
)
def test_another_architecture_takes_over_nothing_and_says_why(served, change, reason):
    config = dataclasses.replace(CONFIG, **change)
    model, fields = build(NEW, config)
    before = weights(model)
    with pytest.raises(DoesNotFitError) as raised:
        warm_start.take_over(model, config, fields, NEW, take(served), share=1.0)
    assert str(raised.value) == reason
    for path, value in weights(model).items():
        np.testing.assert_array_equal(value, before[path])


def test_what_only_steers_the_training_may_change(served):
    config = dataclasses.replace(CONFIG, dropout_rate=0.5, embedding_l2=0.0, oov_dropout_rate=0.0)
    model, fields = build(NEW, config)
    warm_start.take_over(model, config, fields, NEW, take(served), share=1.0)
    assert weights(model)["combination/w_0"] == weights(served)["combination/w_0"]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda w: w.pop("combination/w_0"), "one of the two lacks the weights combination/w_0"),
        (lambda w: w.update(b=w["deep_output/bias"]), "one of the two lacks the weights b"),
        (
            lambda w: w.update({"deep_output/bias": np.zeros(2, np.float32)}),
            "deep_output/bias was of shape (2,), is (1,)",
        ),
        (lambda w: w.update({UID_TABLE: w[UID_TABLE][:-1]}), f"{UID_TABLE} has 4 rows, expected 5"),
    ],
)
def test_weights_of_other_code_take_over_nothing(served, damage, reason):
    taken = take(served)
    damage(taken.weights)
    model, fields = build(NEW)
    before = weights(model)
    with pytest.raises(DoesNotFitError) as raised:
        warm_start.take_over(model, CONFIG, fields, NEW, taken, share=1.0)
    assert str(raised.value) == reason
    for path, value in weights(model).items():
        np.testing.assert_array_equal(value, before[path])


def test_another_number_of_oov_buckets_takes_over_nothing(served):
    model, fields = build(NEW, oov_buckets=2)
    with pytest.raises(DoesNotFitError, match=f"^{UID_TABLE} has 5 rows, expected 6$"):
        warm_start.take_over(model, CONFIG, fields, NEW, take(served), share=1.0)


def test_what_is_written_is_read_again_and_by_numpy_alone(served, tmp_path):
    taken = take(served)
    warm_start.write(taken, str(tmp_path))
    read = warm_start.read(str(tmp_path))
    assert (
        read.structure
        == taken.structure
        == {
            "architecture": "deepfm",
            "categorical": ["uid", "mid"],
            "numeric": ["zip"],
            "embedding_dim": 2,
            "chains": 1,
            "hidden_units": [3],
            "deep_output_activation": None,
        }
    )
    assert read.vocabularies == OLD
    assert read.weights.keys() == taken.weights.keys()
    with np.load(tmp_path / WARM_START_FILE, allow_pickle=False) as arrays:
        assert arrays["vocabulary/uid"].tolist() == [b"7", b"3", b"9"]
        for path, value in weights(served).items():
            np.testing.assert_array_equal(read.weights[path], value)
            np.testing.assert_array_equal(arrays[f"weight/{path}"], value)


def test_a_version_without_the_file_does_not_fit(tmp_path):
    with pytest.raises(DoesNotFitError, match=r"^it has no assets\.extra/warm_start\.npz$"):
        warm_start.read(str(tmp_path))


@pytest.mark.parametrize("kind", ["empty", "cut", "text", "flipped", "pickle", "no structure"])
def test_a_damaged_file_is_named_with_what_to_do(served, tmp_path, kind):
    warm_start.write(take(served), str(tmp_path))
    path = tmp_path / WARM_START_FILE
    content = path.read_bytes()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "text":
        path.write_text("nothing of the kind")
    elif kind == "flipped":
        value = weights(served)[UID_TABLE].tobytes()
        path.write_bytes(content.replace(value, bytes(reversed(value))))
    elif kind == "pickle":
        np.savez(path, structure=np.array({"a": 1}, object))
    else:
        np.savez(path, a=np.zeros(1))
    with pytest.raises(RunStoppedError) as raised:
        warm_start.read(str(tmp_path))
    message = str(raised.value)
    assert f"{path}, a copy of the served version's, is damaged: " in message
    assert "deepfm rollback" in message
    assert "deepfm run --cold" in message


def test_a_structure_that_says_less_does_not_fit(served):
    taken = take(served)
    older = Snapshot(structure={}, weights=taken.weights, vocabularies=taken.vocabularies)
    model, fields = build(NEW)
    with pytest.raises(DoesNotFitError, match="`architecture` was None, is deepfm"):
        warm_start.take_over(model, CONFIG, fields, NEW, older, share=1.0)
