"""What the transform graph says of the model's fields."""

from collections.abc import Mapping, Sequence

import tensorflow as tf
import tensorflow_transform as tft

from components.deepfm.config import TWO_SIDED, DeepFMConfig
from components.deepfm.fields import CategoricalField, NumericField
from schema import features


class Transformed:
    """The fields with the sizes that the transform graph found, and their vocabularies.

    Args:
      path: of the transform graph.
    """

    def __init__(self, path: str) -> None:
        self.output = tft.TFTransformOutput(path)
        self._spec = self.output.transformed_feature_spec()
        self.numeric = [NumericField(name=f.name, input_name=f.z_score_name) for f in features.NUMERIC]
        self.categorical = [
            CategoricalField(
                name=feature.name,
                index_name=feature.index_name,
                vocabulary_size=self.output.vocabulary_size_by_name(feature.vocabulary_name),
                oov_buckets=feature.oov_buckets,
                length=(self._spec[feature.index_name].shape or [1])[0],
            )
            for feature in features.CATEGORICAL
        ]
        self.vocabularies: Mapping[str, Sequence[bytes]] = {
            feature.name: self.output.vocabulary_by_name(feature.vocabulary_name)
            for feature in features.CATEGORICAL
        }

    def spec(self, config: DeepFMConfig) -> dict[str, tf.io.FixedLenFeature]:
        """Return the transformed features that the training of a model reads, the label among them."""
        names = [
            *(f.index_name for f in features.CATEGORICAL if f.name in config.categorical),
            *(f.z_score_name for f in features.NUMERIC if f.name in config.numeric),
            *([features.TIMESTAMP.name] if config.architecture == TWO_SIDED else []),
            features.LABEL.name,
        ]
        return {name: self._spec[name] for name in names}
