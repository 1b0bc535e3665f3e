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
from components.deepfm.user_drift import UserDrift
from schema import features

_Field = TypeVar("_Field", CategoricalField, NumericField)

_GMF, _MLP = "gmf_", "mlp_"  # of the embeddings of the halves of NeuMF
_PREFIXES = ("", _GMF, _MLP)
_SIDES = "sides"
_DEEP_OUTPUT = "deep_output"
DEEP_NORMALIZATION = "deep_normalization"
USER_DRIFT = "user_drift"
COMBINATION = "combination"


def build_model(
    config: DeepFMConfig,
    categorical_fields: Sequence[CategoricalField],
    numeric_fields: Sequence[NumericField],
    rating_mean: float,
    seed: int,
    drift_cells: int = 1,
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
        drift_cells: With `two_sided`, number of keys of its `UserDrift`.

    Returns:
        A functional model. Its inputs, by name, are int64[batch] or int64[batch, length] for a categorical
        field and float32[batch] for a numeric one, and with `two_sided` the timestamp, int64[batch]; its
        output is float32[batch], in ratings.

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
        case "two_sided":
            parts = builder.two_sided(drift_cells)
    rating = Combination(rating_mean, name=COMBINATION)(parts)
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


def deep_part(model: keras.Model) -> keras.Model:
    """Return the deep part of a `two_sided` model as a model of its own, with the same weights.

    Its input is float32[batch, 2 k + 3], k the dimensions of one chain: the user's vector and the movie's, of
    the first chain, the first-order terms of both, and the second-order term. Its output is
    float32[batch, 1], in ratings.
    """
    layers = model.layers[model.layers.index(model.get_layer(DEEP_NORMALIZATION)) :]
    values = inputs = keras.Input(model.get_layer(_SIDES).output.shape[1:])
    for layer in layers:
        if layer.name in (DEEP_NORMALIZATION, _DEEP_OUTPUT) or isinstance(layer, Hidden):
            values = layer(values)
    return keras.Model(inputs, values)


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

    def embeddings(
        self, prefix: str = "", of: Sequence[features.Feature] | None = None
    ) -> list[keras.KerasTensor]:
        """Embed every field, or those of some features: a list of float32[batch, k]."""
        dim, l2 = self._config.embedding_dim, self._config.embedding_l2
        categorical, numeric = self._fields(of)
        return [
            FieldEmbedding(field.rows, dim, l2=l2, seed=self._seed(), name=f"{prefix}{field.name}_embedding")(
                self._values[field.index_name]
            )
            for field in categorical
        ] + [
            NumericEmbedding(dim, l2=l2, seed=self._seed(), name=f"{prefix}{number.input_name}_embedding")(
                self._values[number.input_name]
            )
            for number in numeric
        ]

    def first_order(
        self, prefix: str = "", of: Sequence[features.Feature] | None = None
    ) -> keras.KerasTensor:
        """Weigh every field, or those of some features, by itself: float32[batch, 1]."""
        categorical, numeric = self._fields(of)
        rows = {field.index_name: field.rows for field in categorical}
        numbers = [number.input_name for number in numeric]
        return FirstOrder(
            rows,
            numbers,
            l2=self._config.embedding_l2,
            seed=self._seed(),
            name=f"{prefix}first_order",
        )({name: self._values[name] for name in (*rows, *numbers)})

    def second_order(self, embeddings: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Let the fields interact in pairs: float32[batch, 1]."""
        return SecondOrder(name="second_order")(embeddings)

    def deep(self, embeddings: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Let the fields interact through hidden layers: float32[batch, 1]."""
        return self._hidden(keras.layers.Concatenate(name="concatenation")(embeddings))

    def two_sided(self, drift_cells: int) -> list[keras.KerasTensor]:
        """Let the user's side and the movie's interact: the parts, each float32[batch, 1]."""
        sides = {
            "user": (features.UID, *features.USER_FEATURES),
            "movie": (features.MID, *features.MOVIE_FEATURES),
        }
        vectors, first_orders = [], []
        for side, of in sides.items():
            embeddings = self.embeddings(of=of)
            vectors.append(keras.layers.Add(name=side)(embeddings) if len(embeddings) > 1 else embeddings[0])
            first_orders.append(self.first_order(f"{side}_", of))
        second_order = self.second_order(vectors)
        # What the layers learn of one chain's embeddings says nothing of another's.
        own = self._config.embedding_dim // self._config.chains
        firsts = [vector[:, :own] for vector in vectors]
        both = keras.layers.Concatenate(name=_SIDES)([*firsts, *first_orders, second_order])
        # The scale of the vectors is the data's; its weights are given, not trained.
        scaled = keras.layers.BatchNormalization(
            center=False, scale=False, epsilon=1e-6, trainable=False, name=DEEP_NORMALIZATION
        )(both)
        uid = next(field for field in self._categorical if field.name == features.UID.name)
        time = keras.Input((), dtype="int64", name=features.TIMESTAMP.name)
        self.inputs[features.TIMESTAMP.name] = time
        drift = UserDrift(uid.rows, drift_cells, self._config.drift_seconds, name=USER_DRIFT)(
            [self._values[uid.index_name], time]
        )
        # The deep part begins as nothing: where its training is short, it has added little, not noise.
        return [*first_orders, second_order, self._hidden(scaled, keras.initializers.Zeros()), drift]

    def _fields(
        self, of: Sequence[features.Feature] | None
    ) -> tuple[Sequence[CategoricalField], Sequence[NumericField]]:
        """Return the fields, or those of some features."""
        if of is None:
            return self._categorical, self._numeric
        names = [feature.name for feature in of]
        return (
            [field for field in self._categorical if field.name in names],
            [number for number in self._numeric if number.name in names],
        )

    def _hidden(
        self, values: keras.KerasTensor, output_initializer: keras.Initializer | None = None
    ) -> keras.KerasTensor:
        """Pass float32[batch, n] through the hidden layers: float32[batch, 1]."""
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
            kernel_initializer=output_initializer or keras.initializers.GlorotUniform(self._seed()),
            name=_DEEP_OUTPUT,
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
