"""What a model is made of, as data."""

import dataclasses
from typing import Any, Final

from components.json_config import JsonConfig
from schema import features

TWO_SIDED: Final = "two_sided"
ARCHITECTURES: Final = ("first_order", "second_order", "deep", "deepfm", "gmf", "mlp", "neumf", TWO_SIDED)
PAIRWISE_ARCHITECTURES: Final = ("gmf", "mlp", "neumf")
DRIFT_SECONDS: Final = (20.0, 1800.0, 100_000.0)
"""Time constants of the drift of `two_sided`: of a page of movies, a sitting and a day."""
DROPOUT_POSITIONS: Final = ("before", "after")
DEEP_OUTPUT_ACTIVATIONS: Final = (None, "relu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeepFMConfig(JsonConfig):
    """Choose the architecture, its fields and its sizes.

    `first_order`, `second_order` and `deep` are the parts of DeepFM (Guo et al. 2017), each as a model of
    its own, and `deepfm` is their sum. `gmf` and `mlp` are the halves of NeuMF (He et al. 2017), over
    exactly two categorical fields, the user and the item, and `neumf` is their sum. `two_sided` is DeepFM
    where the embeddings of a side's fields, of the user or of the movie, add up to one vector, and only the
    two vectors interact (FwFM, Pan et al. 2018, with weights of 1 between the sides and of 0 within); the
    level of a user's ratings drifts.

    Raises:
        ValueError: A field is outside its range, or the fields do not fit the architecture.
    """

    architecture: str = "deepfm"  # one of ARCHITECTURES
    categorical: tuple[str, ...] = tuple(feature.name for feature in features.CATEGORICAL)  # feature names
    numeric: tuple[str, ...] = (features.ZIP.name,)  # feature names
    embedding_dim: int = 32  # k: length of an embedding vector, at least 1
    hidden_units: tuple[int, ...] = (128, 64)  # size of each hidden layer, from the input on, each at least 1
    dropout_rate: float = 0.2  # share of units dropped at each hidden layer in training, in [0, 1)
    dropout_position: str = "after"  # of each hidden layer: "before" drops its inputs, "after" its outputs
    deep_output_activation: str | None = None  # None (linear) or "relu"
    embedding_l2: float = 0.07  # weight of the mean squared norm of a batch's embeddings in the loss, >= 0
    oov_dropout_rate: float = 0.01  # share of ids replaced by the OOV index in training, in [0, 1)
    chains: int = 1  # of `two_sided`: equal parts of an embedding that are fitted each by itself, at least 1
    drift_seconds: tuple[float, ...] = ()  # of `two_sided`: time constants of the drift, each above 0
    clip_rating: bool = True  # clip predictions to the scale of ratings, at inference only

    def __post_init__(self) -> None:
        _require_one_of("architecture", self.architecture, ARCHITECTURES)
        _require_names("categorical", self.categorical, features.CATEGORICAL)
        _require_names("numeric", self.numeric, features.NUMERIC)
        if not self.categorical and not self.numeric:
            raise ValueError(
                "`categorical` and `numeric` must name at least one field between them, got none"
            )
        if self.architecture in PAIRWISE_ARCHITECTURES and (len(self.categorical) != 2 or self.numeric):
            raise ValueError(
                f"`architecture` {self.architecture!r} needs two `categorical` fields and no `numeric`, "
                f"got {self.categorical} and {self.numeric}"
            )
        self._check_two_sided()
        if self.embedding_dim < 1:
            raise ValueError(f"`embedding_dim` must be positive, got {self.embedding_dim}")
        if self.chains < 1 or self.embedding_dim % self.chains:
            raise ValueError(
                f"`chains` must be positive and divide `embedding_dim`, got {self.chains} and "
                f"{self.embedding_dim}"
            )
        if not self.hidden_units or min(self.hidden_units) < 1:
            raise ValueError(f"`hidden_units` must be one or more positive sizes, got {self.hidden_units}")
        if not 0 <= self.dropout_rate < 1:
            raise ValueError(f"`dropout_rate` must be in [0, 1), got {self.dropout_rate}")
        _require_one_of("dropout_position", self.dropout_position, DROPOUT_POSITIONS)
        _require_one_of("deep_output_activation", self.deep_output_activation, DEEP_OUTPUT_ACTIVATIONS)
        if not self.embedding_l2 >= 0:
            raise ValueError(f"`embedding_l2` must not be negative, got {self.embedding_l2}")
        if not 0 <= self.oov_dropout_rate < 1:
            raise ValueError(f"`oov_dropout_rate` must be in [0, 1), got {self.oov_dropout_rate}")

    def _check_two_sided(self) -> None:
        """Raise where a field does not fit `two_sided`, or fits no other architecture."""
        if (self.architecture == TWO_SIDED) != bool(self.drift_seconds) or not all(
            seconds > 0 for seconds in self.drift_seconds
        ):
            raise ValueError(
                f"`drift_seconds` must be positive times for `architecture` {TWO_SIDED!r}, and none for "
                f"others, got {self.drift_seconds} for {self.architecture!r}"
            )
        if self.architecture != TWO_SIDED:
            if self.chains > 1:
                raise ValueError(
                    f"`chains` must be 1 for other architectures than {TWO_SIDED!r}, got {self.chains} for "
                    f"{self.architecture!r}"
                )
            return
        if not {features.UID.name, features.MID.name} <= {*self.categorical}:
            raise ValueError(
                f"`categorical` must name both ids for `architecture` {TWO_SIDED!r}, got {self.categorical}"
            )
        for name, only, why in (
            ("deep_output_activation", None, "whose deep part is trained on residuals"),
            ("embedding_l2", 0.0, "whose embeddings are drawn"),
            ("oov_dropout_rate", 0.0, "whose embeddings are drawn"),
        ):
            if getattr(self, name) != only:
                raise ValueError(
                    f"`{name}` must be {only} for `architecture` {TWO_SIDED!r}, {why}, got "
                    f"{getattr(self, name)!r}"
                )


def _require_one_of(argument: str, value: str | None, choices: tuple[Any, ...]) -> None:
    """Raise unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"`{argument}` must be one of {', '.join(map(repr, choices))}, got {value!r}")


def _require_names(argument: str, names: tuple[str, ...], known: tuple[features.Feature, ...]) -> None:
    """Raise unless the names are distinct and those of known features."""
    known_names = tuple(feature.name for feature in known)
    for name in names:
        _require_one_of(argument, name, known_names)
    if len(set(names)) != len(names):
        raise ValueError(f"`{argument}` must not repeat a field, got {names}")
