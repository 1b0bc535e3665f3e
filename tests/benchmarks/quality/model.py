"""What the bench asks of a model, whoever made it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from components.ratings_example_gen.config import SplitMethod

PRESET = "deepfm-"
"""Begins the name of each preset of the project, and of no other model."""

SECOND, NO_MOMENT = "second", "no_moment"
"""What a model is told of the moment of a question."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One measurement."""

    rows: Path  # folder of the split, as `splits.make` writes it
    split: SplitMethod
    seed: int  # of training
    work: Path  # empty folder, for what lies in between and for logs
    data: Path  # folder of the ratings, for who splits them again
    ranking: bool  # whether the order of each user's movies is asked for, and not their ratings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What a model costs beside its errors; seconds are of the wall."""

    train_seconds: float  # of a baseline without reading the rows; of a preset, of the whole node Trainer
    model_bytes: int  # of a baseline its parameters, of a preset what a server loads
    predict_ms: float  # for 1,000 predictions, when all test questions are asked


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """What a model says to the test questions."""

    predictions: Mapping[str, np.ndarray]  # by what is told of the moment, float[questions]: stars, or
    # whatever gives the order if that is asked for; `SECOND` of all models, `NO_MOMENT` if that is another
    cost: Cost
    largest_difference: float | None = None  # of a served version from the training graph, in stars


class ModelFailedError(Exception):
    """A model could not be fitted or asked; the message is a sentence for people."""


class Model(Protocol):
    """Something that can be measured."""

    fits_validation: bool  # to the rows of the validation split too

    @property
    def identity(self) -> str:
        """Return what tells this model from any other, and from itself after a change of its code."""

    def answer(self, task: Task) -> Answers:
        """Fit the model and ask it the test questions.

        Raises:
          ModelFailedError: that did not work.
        """
