import pytest

from components.deepfm.config import PAIRWISE_ARCHITECTURES, TWO_SIDED, DeepFMConfig
from components.deepfm.fields import CategoricalField, NumericField
from schema import features


@pytest.fixture(scope="session")
def categorical_fields():
    return [
        CategoricalField(
            name=feature.name,
            index_name=feature.index_name,
            vocabulary_size=10,
            length=3 if feature.multivalent else 1,
        )
        for feature in features.CATEGORICAL
    ]


@pytest.fixture(scope="session")
def numeric_fields():
    return [NumericField(name=feature.name, input_name=feature.z_score_name) for feature in features.NUMERIC]


@pytest.fixture(scope="session")
def make_config():
    def make(architecture, **changes):
        if architecture in PAIRWISE_ARCHITECTURES:
            changes = {"categorical": (features.UID.name, features.MID.name), "numeric": (), **changes}
        if architecture == TWO_SIDED:
            own = {"embedding_l2": 0.0, "oov_dropout_rate": 0.0, "drift_seconds": (60.0, 86_400.0)}
            changes = own | changes
        return DeepFMConfig(
            architecture=architecture, **{"embedding_dim": 4, "hidden_units": (8, 4), **changes}
        )

    return make
