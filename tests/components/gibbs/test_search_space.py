import dataclasses

from components.gibbs.search_space import MODEL_FIELDS, TRAIN_FIELDS, configurations, search_space
from pipeline.config import PRESETS, PipelineConfig

CONFIG = PRESETS["best"](PipelineConfig(dataset="d", data_folder=".", root=".", generated=True))
MODEL = dataclasses.replace(
    CONFIG.model, embedding_dim=64, hidden_units=(128, 64), dropout_rate=0.15, drift_seconds=(3600.0,)
)
TRAIN = dataclasses.replace(
    CONFIG.train, implicit_rank=5, history_shrinkage=100.0, deep_learning_rate=0.001, deep_share=0.5
)


def test_the_space_is_around_the_preset():
    space = search_space(MODEL, TRAIN)
    assert {hp.name: hp.values for hp in space.space} == {
        "embedding_dim": [32, 64, 96],
        "implicit_rank": [3, 5, 8],
        "hidden_units": ["128, 64", "192, 96", "64, 32"],
        "dropout_rate": [0.0, 0.1, 0.15, 0.2, 0.3],
        "history_shrinkage": [25.0, 50.0, 100.0, 200.0, 400.0],
        "deep_learning_rate": [0.00025, 0.0005, 0.001, 0.002, 0.004],
        "deep_share": [0.25, 0.5, 1.0],
    }


def test_its_default_is_the_preset():
    for name in ("fast", "best"):
        config = PRESETS[name](PipelineConfig(dataset="d", data_folder=".", root=".", generated=True))
        values = search_space(config.model, config.train).values
        assert set(values) == {*MODEL_FIELDS, *TRAIN_FIELDS}
        assert configurations(values, config.model, config.train) == (config.model, config.train)


def test_a_point_changes_what_it_names_and_nothing_else():
    values = {
        "embedding_dim": 32,
        "implicit_rank": 8,
        "hidden_units": "64, 32",
        "dropout_rate": 0.3,
        "history_shrinkage": 25.0,
        "deep_learning_rate": 0.004,
        "deep_share": 1.0,
    }
    model, train = configurations(values, MODEL, TRAIN)
    assert model == dataclasses.replace(MODEL, embedding_dim=32, hidden_units=(64, 32), dropout_rate=0.3)
    assert train == dataclasses.replace(
        TRAIN, implicit_rank=8, history_shrinkage=25.0, deep_learning_rate=0.004, deep_share=1.0
    )


def test_sizes_can_be_parted_among_the_chains():
    space = search_space(dataclasses.replace(MODEL, embedding_dim=15, chains=3), TRAIN)
    assert space.get("embedding_dim") == 15
    assert space.space[0].values == [9, 15, 24]
