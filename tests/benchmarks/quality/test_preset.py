import numpy as np

from schema import features
from tests.benchmarks.quality.models import MODELS
from tests.benchmarks.quality.preset import Preset, loaded_bytes, of_users, scores


def test_presets_are_told_apart():
    assert {"deepfm-default", "deepfm-gradient", "deepfm-notebook"} <= MODELS.keys()
    assert Preset("default").identity != Preset("notebook").identity
    assert Preset("default").identity == MODELS["deepfm-default"].identity


def test_a_ranking_is_read_back_in_the_order_of_the_questions():
    uids, mids = np.array([3, 3, 3, 1, 1, 1, 1]), np.array([7, 5, 9, 5, 7, 8, 9])
    assert of_users(uids) == [slice(0, 3), slice(3, 7)]
    ranked = {features.MID.name: np.array([9, 7, 5]), features.SCORE.name: np.array([3.0, 2.0, -1.0])}
    assert scores(ranked, mids[of_users(uids)[0]]).tolist() == [2, -1, 3]


def test_only_what_a_server_loads_is_counted(tmp_path):
    for name, size in (
        ("saved_model.pb", 5),
        ("variables/variables.index", 7),
        ("assets.extra/catalogue/u", 9),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    assert loaded_bytes(tmp_path) == 12
