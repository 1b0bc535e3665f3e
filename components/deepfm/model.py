"""DeepFM, its parts and its relatives, as Keras models."""

import random
from collections.abc import Sequence
from typing import TypeVar

import keras

from components.deepfm.combination import Combination
from components.deepfm.config import DeepFMConfig
from components.deepfm.embedding import FieldEmbedding
from components.deepfm.fields import CategoricalField, NumericField
from components.deepfm.first_order import FirstOrder
from components.deepfm.gmf import GeneralizedMatrixFactorization
from components.deepfm.hidden import Hidden
from components.deepfm.numeric_embedding import NumericEmbedding
from components.deepfm.oov_dropout import OovDropout
from components.deepfm.rating_range import RatingRange
from components.deepfm.second_order import SecondOrder
from schema import features

_Field = TypeVar("_Field", CategoricalField, NumericField)

_GMF, _MLP = "gmf_", "mlp_"  # of the embeddings of the halves of NeuMF
_PREFIXES = ("", _GMF, _MLP)


def build_model(
    config: DeepFMConfig,
    categorical_fields: Sequence[CategoricalField],
    numeric_fields: Sequence[NumericField],
    rating_mean: float,
    seed: int,
) -> keras.Model:
    """Build the model of a configuration.

    The fields' embeddings are shared by the second-order and the deep part. With `neumf`, each half has
    its own, as in its paper.

    Args:
        config: The architecture, and the names of its fields.
        categorical_fields: The sizes of at least the fields that `config.categorical` names.
        numeric_fields: The inputs of at least the fields that `config.numeric` names.
        rating_mean: Initial global bias, in ratings.
        seed: Seed of initial weights, dropout and OOV dropout.

    Returns:
        A functional model. Its inputs, by name, are int64[batch] or int64[batch, length] for a categorical
        field and float32[batch] for a numeric one; its output is float32[batch], in ratings.

    Raises:
        ValueError: A field that the configuration names is not among the fields.

    Reference:
        Guo et al. 2017, DeepFM, https://arxiv.org/abs/1703.04247. He et al. 2017, Neural Collaborative
        Filtering, https://arxiv.org/abs/1708.05031.
    """
    categorical = _select("categorical_fields", categorical_fields, config.categorical)
    numeric = _select("numeric_fields", numeric_fields, config.numeric)
    builder = _Builder(config, categorical, numeric, seed)
    match config.architecture:
        case "first_order":
            parts = [builder.first_order()]
        case "second_order":
            parts = [builder.second_order(builder.embeddings())]
        case "deep":
            parts = [builder.deep(builder.embeddings())]
        case "deepfm":
            embeddings = builder.embeddings()
            parts = [builder.first_order(), builder.second_order(embeddings), builder.deep(embeddings)]
        case "gmf":
            parts = [builder.gmf(builder.embeddings())]
        case "mlp":
            parts = [builder.deep(builder.embeddings())]
        case "neumf":
            parts = [builder.gmf(builder.embeddings(_GMF)), builder.deep(builder.embeddings(_MLP))]
    rating = Combination(rating_mean, name="combination")(parts)
    if config.clip_rating:
        rating = RatingRange(features.MIN_RATING, features.MAX_RATING, name="rating_range")(rating)
    return keras.Model(builder.inputs, rating, name=config.architecture)


def embedding_tables(model: keras.Model, fields: Sequence[CategoricalField]) -> dict[str, str]:
    """Return which field each embedding table of a model belongs to.

    Args:
        model: Of `build_model`.
        fields: At least those that the model was built with.

    Returns:
        Names of fields by the path of a table, which has a row for each index.
    """
    by_layer = {field.index_name: field.name for field in fields}  # the terms of the first-order part
    for prefix in _PREFIXES:
        by_layer |= {f"{prefix}{field.name}_embedding": field.name for field in fields}
    return {
        weight.path: by_layer[weight.path.split("/")[-2]]
        for weight in model.weights
        if weight.name == "table"
    }


class _Builder:
    """The inputs of a model, and its parts on top of them."""

    def __init__(
        self,
        config: DeepFMConfig,
        categorical: Sequence[CategoricalField],
        numeric: Sequence[NumericField],
        seed: int,
    ) -> None:
        self._config = config
        self._categorical = categorical
        self._numeric = numeric
        self._seeds = random.Random(seed)
        self.inputs: dict[str, keras.KerasTensor] = {}
        self._values: dict[str, keras.KerasTensor] = {}
        for field in categorical:
            indices = keras.Input(field.shape, dtype="int64", name=field.index_name)
            self.inputs[field.index_name] = self._values[field.index_name] = indices
            if config.oov_dropout_rate:
                self._values[field.index_name] = OovDropout(
                    field.vocabulary_size,
                    field.oov_buckets,
                    config.oov_dropout_rate,
                    seed=self._seed(),
                    name=f"{field.name}_oov_dropout",
                )(indices)
        for number in numeric:
            value = keras.Input((), dtype="float32", name=number.input_name)
            self.inputs[number.input_name] = self._values[number.input_name] = value

    def embeddings(self, prefix: str = "") -> list[keras.KerasTensor]:
        """Embed every field: a list of float32[batch, k]."""
        dim, l2 = self._config.embedding_dim, self._config.embedding_l2
        return [
            FieldEmbedding(field.rows, dim, l2=l2, seed=self._seed(), name=f"{prefix}{field.name}_embedding")(
                self._values[field.index_name]
            )
            for field in self._categorical
        ] + [
            NumericEmbedding(dim, l2=l2, seed=self._seed(), name=f"{prefix}{number.input_name}_embedding")(
                self._values[number.input_name]
            )
            for number in self._numeric
        ]

    def first_order(self) -> keras.KerasTensor:
        """Weigh every field by itself: float32[batch, 1]."""
        return FirstOrder(
            {field.index_name: field.rows for field in self._categorical},
            [number.input_name for number in self._numeric],
            l2=self._config.embedding_l2,
            seed=self._seed(),
            name="first_order",
        )(self._values)

    def second_order(self, embeddings: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Let the fields interact in pairs: float32[batch, 1]."""
        return SecondOrder(name="second_order")(embeddings)

    def deep(self, embeddings: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Let the fields interact through hidden layers: float32[batch, 1]."""
        values = keras.layers.Concatenate(name="concatenation")(embeddings)
        for number, units in enumerate(self._config.hidden_units, start=1):
            values = Hidden(
                units,
                self._config.dropout_rate,
                self._config.dropout_position,
                seed=self._seed(),
                name=f"hidden_{number}",
            )(values)
        return keras.layers.Dense(
            1,
            self._config.deep_output_activation,
            kernel_initializer=keras.initializers.GlorotUniform(self._seed()),
            name="deep_output",
        )(values)

    def gmf(self, embeddings: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Let a user and an item interact by element: float32[batch, 1]."""
        return GeneralizedMatrixFactorization(name="gmf")(embeddings)

    def _seed(self) -> int:
        """Return the next of the model's seeds."""
        return self._seeds.getrandbits(31)


def _select(argument: str, fields: Sequence[_Field], names: Sequence[str]) -> list[_Field]:
    """Return the fields of those names, in that order."""
    by_name = {field.name: field for field in fields}
    for name in names:
        if name not in by_name:
            raise ValueError(
                f"`{argument}` lacks {name!r}, which the configuration names, got {list(by_name)}"
            )
    return [by_name[name] for name in names]
