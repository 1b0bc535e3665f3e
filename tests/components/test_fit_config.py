import json

import pytest

from components.fit_config import read_fit_config
from components.gibbs.config import GibbsConfig
from components.trainer.config import TrainConfig


@pytest.mark.parametrize("config", [TrainConfig(epochs=3), GibbsConfig(sweeps=7)])
def test_a_configuration_is_read_by_its_method(config):
    assert json.loads(config.to_json())["method"] == config.method
    assert read_fit_config(config.to_json()) == config


@pytest.mark.parametrize(
    ("text", "got"), [('{"method": "guess"}', "'guess'"), ("{}", "None"), ("[]", "None")]
)
def test_another_method_is_refused(text, got):
    with pytest.raises(ValueError, match=f"`method` must be one of 'gradient', 'gibbs', got {got}"):
        read_fit_config(text)
