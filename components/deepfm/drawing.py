"""A model to draw: any architecture, with vocabularies of MovieLens 1M's size."""

import dataclasses

import keras

from components.deepfm.config import DRIFT_SECONDS, PAIRWISE_ARCHITECTURES, TWO_SIDED, DeepFMConfig
from components.deepfm.fields import CategoricalField, NumericField
from components.deepfm.model import build_model
from schema import features

_VOCABULARY_SIZES = {
    features.UID: 6040,
    features.MID: 3706,
    features.GENRES: 18,
    features.GENDER: 2,
    features.AGE: 7,
    features.OCCUPATION: 21,
}


def of_architecture(config: DeepFMConfig, architecture: str) -> DeepFMConfig:
    """Return a configuration of another architecture, without what that one has no place for.

    Args:
      config: sizes and fields.
      architecture: in place of the configuration's; a pairwise one takes user and movie only.

    Raises:
      ValueError: the architecture is unknown.
    """
    two_sided, pairwise = architecture == TWO_SIDED, architecture in PAIRWISE_ARCHITECTURES
    return dataclasses.replace(
        config,
        architecture=architecture,
        categorical=(features.UID.name, features.MID.name) if pairwise else config.categorical,
        numeric=() if pairwise else config.numeric,
        deep_output_activation=None if two_sided else config.deep_output_activation,
        embedding_l2=0.0 if two_sided else config.embedding_l2,
        oov_dropout_rate=0.0 if two_sided else config.oov_dropout_rate,
        chains=config.chains if two_sided else 1,
        drift_seconds=DRIFT_SECONDS if two_sided else (),
    )


def example_model(config: DeepFMConfig, architecture: str, max_genres: int) -> keras.Model:
    """Build an untrained model.

    Args:
      config: sizes and fields.
      architecture: as `of_architecture` takes it.
      max_genres: length of the genres' field.

    Raises:
      ValueError: the architecture is unknown.
    """
    return build_model(
        of_architecture(config, architecture),
        [
            CategoricalField(
                name=feature.name,
                index_name=feature.index_name,
                vocabulary_size=size,
                oov_buckets=feature.oov_buckets,
                length=max_genres if feature.multivalent else 1,
            )
            for feature, size in _VOCABULARY_SIZES.items()
        ],
        [NumericField(name=f.name, input_name=f.z_score_name) for f in features.NUMERIC],
        rating_mean=0.0,
        seed=0,
    )
