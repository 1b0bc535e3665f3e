"""What the preprocessing can be told."""

import dataclasses

from components.json_config import JsonConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformConfig(JsonConfig):
    """How many genres a movie keeps, and of which vocabulary."""

    max_genres: int = 6  # of a movie, at least 1; the last ones in file order are kept
    genre_vocabulary_size: int | None = None  # most frequent genres kept, at least 1; None keeps all

    def __post_init__(self) -> None:
        if self.max_genres < 1:
            raise ValueError(f"`max_genres` must be positive, got {self.max_genres}")
        if self.genre_vocabulary_size is not None and self.genre_vocabulary_size < 1:
            raise ValueError(f"`genre_vocabulary_size` must be positive, got {self.genre_vocabulary_size}")
