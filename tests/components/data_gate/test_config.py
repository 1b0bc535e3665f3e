import pytest

from components.data_gate.config import DataGateConfig, Kind, Severity


def test_the_configuration_goes_to_json_and_back():
    config = DataGateConfig(drift=Severity.WARN, max_mid_oov=0.5)
    assert DataGateConfig.from_json(config.to_json()) == config
    assert DataGateConfig.from_json('{"mean_rating": "warn"}').severity(Kind.MEAN_RATING) is Severity.WARN


def test_every_kind_has_a_severity():
    assert {kind for kind in Kind if DataGateConfig().severity(kind) is Severity.WARN} == {
        Kind.QUIET,
        Kind.REQUESTS,
    }
    accepting = DataGateConfig(max_mid_oov=0.5).accepting()
    assert {accepting.severity(kind) for kind in Kind} == {Severity.WARN}
    assert accepting.max_mid_oov == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drift": "halt"}, "'halt' is not a valid Severity"),
        ({"max_uid_oov": 1.5}, "`max_uid_oov` must be from 0 to 1, got 1.5"),
        ({"max_rating_change": 0}, "`max_rating_change` must be positive, got 0"),
        (
            {"min_volume_ratio": 2.0, "max_volume_ratio": 1.0},
            "`min_volume_ratio` must be at most `max_volume_ratio`, got 2.0 and 1.0",
        ),
    ],
)
def test_what_is_out_of_range_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        DataGateConfig(**changes)
