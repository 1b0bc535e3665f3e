import concurrent.futures
import shutil

import numpy as np
import pytest
import tensorflow as tf

from schema import features
from serving import errors
from serving.saved_model import SessionModel

RATING = features.RATING.name
UID = features.UID.name
MID = features.MID.name
AGE = features.AGE.name
GENRES = features.GENRES.name


@pytest.fixture(scope="module")
def model(model_folder):
    with SessionModel(model_folder) as loaded:
        yield loaded


@pytest.fixture
def pair(movie_catalogue):
    return movie_catalogue.predict_inputs([1], [1193])


def test_signatures(model):
    assert sorted(model.signatures) == ["busy", "predict", "rank", "read", "serving_default"]
    assert sorted(model.signatures["predict"].inputs) == sorted(feature.name for feature in features.SERVED)


def test_predict(model, movie_catalogue):
    outputs = model.run("predict", movie_catalogue.predict_inputs([1, 6040, 3], [1193, 661, 4]))
    assert list(outputs) == [RATING]
    assert outputs[RATING].dtype == np.float32
    # uid 1: 1 + 1/4 + 1/8 + 1/16 + 1/2 + 1/1024 + 10/2048 + 5/4096; uid 3 and mid 4 are unknown.
    assert outputs[RATING].tolist() == [
        1.9375 + 1 / 1024 + 10 / 2048 + 5 / 4096,
        1 + 5 / 8 + 3 / 16 + 25 / 1024 + 6 / 2048,
        1 + 3 / 4 + 4 / 8 - 1 / 1024 - 1 / 2048,
    ]


def test_the_moment_of_a_pair_and_of_a_ranking(model, movie_catalogue):
    known, early = model.run("predict", movie_catalogue.predict_inputs([1, 1], [8, 8], [-1, 512]))[RATING]
    assert early == known + 512 / 8192
    ranked = model.run("rank", movie_catalogue.rank_inputs(1, [8, 16], 512))[RATING]
    assert ranked.tolist() == [early, early]


def test_rank_is_stable(model, movie_catalogue):
    outputs = model.run("rank", movie_catalogue.rank_inputs(0, [8, 1193, 16, 661, 24]))
    assert outputs[MID].tolist() == [661, 1193, 8, 16, 24]
    base = 1 - 1 / 1024 - 1 / 2048
    assert outputs[RATING].tolist() == [base + 13 / 16, base + 3 / 16, base, base, base]


def test_serialized_examples_answer_as_raw_tensors(model, pair):
    example = tf.train.Example()
    for feature in features.SERVED:
        values = [value for value in pair[feature.name].ravel().tolist() if value != b""]
        if feature.dtype is features.Dtype.INT64:
            example.features.feature[feature.name].int64_list.value.extend(values)
        else:
            example.features.feature[feature.name].bytes_list.value.extend(values)
    inputs = {"examples": np.array([example.SerializeToString()], object)}
    assert model.run("serving_default", inputs) == model.run("predict", pair)


def test_strings_of_every_kind(model, pair):
    expected = model.run("predict", pair)
    strings = {name: value.astype(str) if value.dtype == object else value for name, value in pair.items()}
    assert model.run("predict", strings) == expected
    assert model.run("predict", {**pair, GENRES: np.array([["Drama", "", ""]], "S5")}) == expected


def test_output_filter(model, movie_catalogue):
    outputs = model.run("rank", movie_catalogue.rank_inputs(0, [8, 661]), [MID])
    assert {name: value.tolist() for name, value in outputs.items()} == {MID: [661, 8]}


def test_an_empty_batch_has_no_ratings(model, movie_catalogue):
    assert model.run("predict", movie_catalogue.predict_inputs([], []))[RATING].shape == (0,)


def test_unknown_signature(model):
    with pytest.raises(errors.SignatureNotFound, match=r'^Serving signature key "other" not found\.$'):
        model.run("other", {})


def test_missing_and_extra_inputs(model, pair):
    del pair[AGE]
    with pytest.raises(errors.InvalidRequest, match=f"8!=8.*extra: {{x}}. Missing but required: {{{AGE}}}"):
        model.run("predict", {**pair, "x": np.array([1])})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (UID, np.array([1.0], np.float32), f"Expects input {UID} to be int64 but float32 is provided"),
        (UID, np.array([1], np.int32), f"Expects input {UID} to be int64 but int32 is provided"),
        (UID, np.array([b"1"], object), f"Expects input {UID} to be int64 but string is provided"),
        (UID, np.array([[1]]), rf"Expects input {UID} to have shape \[-1\] but \[1, 1\] is provided"),
        (UID, np.array(["2000-01-01"], "datetime64[D]"), f"Expects input {UID} to be int64"),
        (GENRES, np.array([b"Drama"], object), rf"Expects input {GENRES} to have shape \[-1, -1\] but \[1\]"),
        (GENRES, np.array([[7]], object), "Unsupported object type int"),
        (UID, np.array([1, 2, 3]), "Incompatible shapes"),
    ],
)
def test_inputs_that_do_not_fit(model, pair, name, value, message):
    inputs = {**pair, MID: np.array([1, 2]), name: value} if len(value) == 3 else {**pair, name: value}
    with pytest.raises(errors.InvalidRequest, match=message):
        model.run("predict", inputs)


def test_one_user_only_in_rank(model, movie_catalogue):
    inputs = movie_catalogue.rank_inputs(1, [8]) | {UID: np.array([1, 2])}
    with pytest.raises(errors.InvalidRequest, match=r"to have shape \[1\] but \[2\] is provided"):
        model.run("rank", inputs)


def test_bad_examples_are_the_callers_fault(model):
    with pytest.raises(errors.InvalidRequest, match="Could not parse example input"):
        model.run("serving_default", {"examples": np.array([b"garbage"], object)})


def test_output_names(model, pair):
    with pytest.raises(errors.InvalidRequest, match="output tensor alias not found in signature: x"):
        model.run("predict", pair, ["x"])
    with pytest.raises(errors.InvalidRequest, match=f"duplicate output tensor alias: {RATING}"):
        model.run("predict", pair, [RATING, RATING])


def test_other_failures_keep_their_code(model):
    with pytest.raises(errors.ModelFailed, match="No such file") as caught:
        model.run("read", {"path": np.array(b"/nowhere", object)})
    assert caught.value.code == tf.errors.NOT_FOUND


def test_many_threads(model, movie_catalogue):
    def ask(uid):
        return float(model.run("predict", movie_catalogue.predict_inputs([uid], [8]))[RATING][0])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ratings = list(pool.map(ask, range(2, 202)))
    assert ratings == [1 + uid % 4 / 4 - 1 / 1024 - 1 / 2048 for uid in range(2, 202)]


def test_what_cannot_be_loaded(tmp_path, model_folder, broken_model):
    with pytest.raises(errors.ModelNotLoadable, match=str(tmp_path)):
        SessionModel(tmp_path)
    with pytest.raises(errors.ModelNotLoadable, match=str(broken_model)):
        SessionModel(broken_model)
    shutil.copytree(model_folder, tmp_path / "graph")
    (tmp_path / "graph" / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(errors.ModelNotLoadable, match="graph"):
        SessionModel(tmp_path / "graph")
