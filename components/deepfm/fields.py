"""The fields that a model reads: one value of the schema's transformed features each."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class CategoricalField:
    """A field of one index per example, or of several, padded with 0.

    Indices have the layout of `schema.features`: 0 is padding or missing, then come the vocabulary and
    the OOV buckets.

    Raises:
        ValueError: A size is out of range.
    """

    name: str  # the raw feature
    index_name: str  # the transformed feature, which is the model's input
    vocabulary_size: int  # V, at least 1
    oov_buckets: int = 1  # at least 1
    length: int = 1  # indices per example; more than 1 makes the input a matrix

    def __post_init__(self) -> None:
        for argument in ("vocabulary_size", "oov_buckets", "length"):
            if getattr(self, argument) < 1:
                raise ValueError(
                    f"`{argument}` of {self.name} must be positive, got {getattr(self, argument)}"
                )

    @property
    def rows(self) -> int:
        """Number of indices: padding, vocabulary and OOV buckets."""
        return 1 + self.vocabulary_size + self.oov_buckets

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example's indices."""
        return () if self.length == 1 else (self.length,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NumericField:
    """A field of one number per example."""

    name: str  # the raw feature
    input_name: str  # the transformed feature, which is the model's input
