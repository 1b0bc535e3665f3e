import keras
import numpy as np
import pytest
import tensorflow as tf

from components.deepfm.rating_range import RatingRange

RATINGS = np.array([0.5, 1.0, 3.25, 5.0, 5.5], np.float32)


@pytest.mark.parametrize("training", [False, None])
def test_clips_at_inference(training):
    np.testing.assert_array_equal(RatingRange(1.0, 5.0)(RATINGS, training=training), [1, 1, 3.25, 5, 5])


def test_passes_on_values_and_gradients_in_training():
    ratings = tf.constant(RATINGS)
    with tf.GradientTape() as tape:
        tape.watch(ratings)
        outputs = RatingRange(1.0, 5.0)(ratings, training=True)
    np.testing.assert_array_equal(outputs, RATINGS)
    np.testing.assert_array_equal(tape.gradient(outputs, ratings), np.ones(5))


def test_rejects():
    with pytest.raises(ValueError, match="`low` must be below `high`, got 5 and 1"):
        RatingRange(5, 1)


def test_save_and_load(tmp_path):
    inputs = keras.Input(())
    keras.Model(inputs, RatingRange(1.0, 4.0)(inputs)).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (loaded.layers[-1].low, loaded.layers[-1].high) == (1.0, 4.0)
    np.testing.assert_array_equal(loaded(RATINGS), [1, 1, 3.25, 4, 4])
