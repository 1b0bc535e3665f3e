import dataclasses
import re

import pytest

from components.deepfm.config import ARCHITECTURES, DeepFMConfig
from schema import features


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architecture": "fm"},
            "`architecture` must be one of 'first_order', 'second_order', 'deep', 'deepfm', 'gmf', 'mlp', "
            "'neumf', 'two_sided', got 'fm'",
        ),
        (
            {
                "architecture": "two_sided",
                "drift_seconds": (60.0,),
                "embedding_l2": 0.0,
                "oov_dropout_rate": 0.0,
                "embedding_dim": 9,
                "chains": 2,
            },
            "`chains` must be positive and divide `embedding_dim`, got 2 and 9",
        ),
        ({"chains": 0}, "`chains` must be positive and divide `embedding_dim`, got 0 and 32"),
        ({"chains": 2}, "`chains` must be 1 for other architectures than 'two_sided', got 2 for 'deepfm'"),
        ({"architecture": "two_sided"}, "`drift_seconds` must be positive times for `architecture`"),
        ({"drift_seconds": (60.0,)}, "`drift_seconds` must be positive times for `architecture`"),
        (
            {"architecture": "two_sided", "drift_seconds": (60.0, 0.0)},
            "`drift_seconds` must be positive times for `architecture` 'two_sided', and none for others, got",
        ),
        (
            {"architecture": "two_sided", "drift_seconds": (60.0,), "categorical": (features.UID.name,)},
            "`categorical` must name both ids for `architecture` 'two_sided', got",
        ),
        (
            {"architecture": "two_sided", "drift_seconds": (60.0,), "oov_dropout_rate": 0.0},
            "`embedding_l2` must be 0.0 for `architecture` 'two_sided', whose embeddings are drawn, got 0.07",
        ),
        (
            {"architecture": "two_sided", "drift_seconds": (60.0,), "embedding_l2": 0.0},
            "`oov_dropout_rate` must be 0.0 for `architecture` 'two_sided', whose embeddings are drawn, got",
        ),
        (
            {"architecture": "two_sided", "drift_seconds": (60.0,), "deep_output_activation": "relu"},
            "`deep_output_activation` must be None for `architecture` 'two_sided', whose deep part is",
        ),
        ({"embedding_dim": -1}, "`embedding_dim` must be positive, got -1"),
        ({"hidden_units": ()}, "`hidden_units` must be one or more positive sizes, got ()"),
        ({"hidden_units": (8, 0)}, "`hidden_units` must be one or more positive sizes, got (8, 0)"),
        ({"dropout_rate": 1.0}, "`dropout_rate` must be in [0, 1), got 1.0"),
        ({"dropout_position": "around"}, "`dropout_position` must be one of 'before', 'after', got 'around'"),
        (
            {"deep_output_activation": "tanh"},
            "`deep_output_activation` must be one of None, 'relu', got 'tanh'",
        ),
        ({"embedding_l2": -0.1}, "`embedding_l2` must not be negative, got -0.1"),
        ({"embedding_l2": float("nan")}, "`embedding_l2` must not be negative, got nan"),
        ({"oov_dropout_rate": 1.5}, "`oov_dropout_rate` must be in [0, 1), got 1.5"),
        ({"categorical": ("director",)}, "`categorical` must be one of"),
        ({"numeric": (features.UID.name,)}, "`numeric` must be one of"),
        ({"numeric": (features.ZIP.name,) * 2}, "`numeric` must not repeat a field, got"),
        ({"categorical": (), "numeric": ()}, "`categorical` and `numeric` must name at least one field"),
        (
            {"architecture": "gmf"},
            "`architecture` 'gmf' needs two `categorical` fields and no `numeric`, got",
        ),
    ],
)
def test_rejects(changes, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        DeepFMConfig(**changes)


def test_is_frozen_and_keyword_only():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DeepFMConfig().embedding_dim = 8
    with pytest.raises(TypeError):
        DeepFMConfig("deep")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_json_round_trip(architecture, make_config):
    config = make_config(architecture, dropout_position="before", hidden_units=(3, 2, 1))
    assert DeepFMConfig.from_json(config.to_json()) == config


def test_from_json_keeps_defaults():
    assert DeepFMConfig.from_json('{"hidden_units": [5]}') == DeepFMConfig(hidden_units=(5,))


@pytest.mark.parametrize(
    ("text", "message"), [("[]", "must be a JSON object"), ('{"depth": 1}', "unknown fields: depth")]
)
def test_from_json_rejects(text, message):
    with pytest.raises(ValueError, match=message):
        DeepFMConfig.from_json(text)
