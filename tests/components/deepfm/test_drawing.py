import pytest

from components.deepfm.config import ARCHITECTURES, DRIFT_SECONDS, PAIRWISE_ARCHITECTURES, TWO_SIDED
from components.deepfm.drawing import example_model, of_architecture
from pipeline.config import PRESETS


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_preset_is_drawn_as_any_architecture(architecture, preset):
    model = PRESETS[preset].model
    config = of_architecture(model, architecture)
    assert config.architecture == architecture
    assert (config.embedding_dim, config.hidden_units) == (model.embedding_dim, model.hidden_units)
    assert config.chains == (model.chains if architecture == TWO_SIDED else 1)
    assert config.deep_output_activation == (
        None if architecture == TWO_SIDED else model.deep_output_activation
    )
    assert config.drift_seconds == (DRIFT_SECONDS if architecture == TWO_SIDED else ())
    fields = ("uid", "mid") if architecture in PAIRWISE_ARCHITECTURES else model.categorical
    assert config.categorical == fields


def test_an_unknown_architecture_is_refused():
    with pytest.raises(ValueError, match="`architecture` must be one of 'first_order'"):
        of_architecture(PRESETS["best"].model, "svd")


def test_an_example_has_the_fields_of_its_architecture():
    assert set(example_model(PRESETS["best"].model, "gmf", max_genres=3).input) == {"uid_index", "mid_index"}
