from tests.benchmarks.quality.models import MODELS
from tests.benchmarks.quality.preset import Preset, loaded_bytes


def test_presets_are_told_apart():
    assert {"deepfm-default", "deepfm-notebook"} <= MODELS.keys()
    assert Preset("default").identity != Preset("notebook").identity
    assert Preset("default").identity == MODELS["deepfm-default"].identity


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
