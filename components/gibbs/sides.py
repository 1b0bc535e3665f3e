"""The two sides of a model: users and movies, each a table of ids with side features."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Self

import keras
import numpy as np

from components.deepfm.fields import CategoricalField, NumericField
from schema import features

_RIDGE = 5.0  # of the regression for unknown ids, in rows


@dataclasses.dataclass(frozen=True, eq=False)
class Side:
    """One side: the entries of its id's vocabulary, and what the other fields say of them.

    The model's vector of an entry is the sum of its fields' embeddings, with the terms of the first order
    as one more dimension.
    """

    name: str  # "user" or "movie"
    identity: CategoricalField
    categorical: Sequence[CategoricalField]  # the other fields
    numeric: Sequence[NumericField]
    design: np.ndarray  # float32[V, f]: a column for each index from 1 on of each field, then the numbers

    @classmethod
    def of(
        cls,
        name: str,
        identity: features.Feature,
        others: Sequence[features.Feature],
        categorical: Sequence[CategoricalField],
        numeric: Sequence[NumericField],
        columns: Mapping[str, np.ndarray],
    ) -> Self:
        """Return a side of a model that has the given fields, as found in rows that hold every entry.

        Raises:
          ValueError: a row is of an id outside the vocabulary, or an entry of the vocabulary has no row.
        """
        names = [feature.name for feature in others]
        table = next(field for field in categorical if field.name == identity.name)
        own = [field for field in categorical if field.name in names]
        numbers = [number for number in numeric if number.name in names]
        entries = columns[table.index_name] - 1
        unknown = np.count_nonzero((entries < 0) | (entries >= table.vocabulary_size))
        if unknown:
            raise ValueError(
                f"{unknown:,} rows are of a {name} outside the vocabulary; Transform must analyze all rows "
                "that are fitted"
            )
        row = np.full(table.vocabulary_size, -1)  # one of each entry
        row[entries] = np.arange(len(entries))
        if (row < 0).any():
            raise ValueError(
                f"{np.count_nonzero(row < 0):,} entries of the {name} vocabulary have no row; Transform must "
                "analyze the rows that are fitted and no others"
            )
        blocks = [_mean_hot(columns[field.index_name][row], field.rows) for field in own]
        blocks += [columns[number.input_name][row][:, np.newaxis] for number in numbers]
        design = np.concatenate([np.zeros((len(row), 0)), *blocks], axis=1).astype(np.float32)
        return cls(name, table, own, numbers, design)

    def entries(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return each row's vocabulary entry, by number from 0, int64[n]."""
        return columns[self.identity.index_name] - 1

    def vectors(self, model: keras.Model) -> np.ndarray:
        """Return what a model's weights say of each entry, float32[V, k + 1]."""
        effects = np.concatenate(
            [np.zeros((0, self._dim(model)), np.float32)]
            + [self._table(model, field)[1:] for field in self.categorical]
            + [self._number(model, number)[np.newaxis] for number in self.numeric]
        )
        return self._table(model, self.identity)[1 : 1 + len(self.design)] + self.design @ effects

    def expected(self, vectors: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Regress vectors on the side features: what is expected of an id of which only those are known.

        Of an id of which nothing is known the mean id is expected: the effects of a categorical field add
        up to 0 over the rows. A value that no row has, has no effect.

        Args:
          vectors: float32[V, k + 1].
          known: bool[V], the rows that are evidence.

        Returns:
          The intercept, float32[k + 1], and the effects, float32[f, k + 1].
        """
        x = np.concatenate([np.ones((len(self.design), 1)), self.design], axis=1)[known]
        penalty = np.diag([1e-6, *[_RIDGE] * self.design.shape[1]])
        found = np.linalg.solve(x.T @ x + penalty, x.T @ vectors[known])
        intercept, effects = found[0], found[1:]
        first = 0
        for field in self.categorical:
            block = slice(first, first + field.rows - 1)
            shares = x[:, 1:][:, block].sum(axis=0)[:, np.newaxis]
            mean = (shares * effects[block]).sum(axis=0) / max(shares.sum(), 1.0)
            intercept = intercept + mean
            effects[block] = np.where(shares > 0, effects[block] - mean, 0.0)
            first = block.stop
        return intercept.astype(np.float32), effects.astype(np.float32)

    def completed(self, vectors: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return the vectors, those that are not known replaced by what is expected."""
        if known.all():
            return vectors
        intercept, effects = self.expected(vectors, known)
        return np.where(known[:, np.newaxis], vectors, intercept + self.design @ effects)

    def assign(self, model: keras.Model, vectors: np.ndarray, known: np.ndarray) -> None:
        """Give a model the weights that say of each entry what the vectors say, float32[V, k + 1].

        Entries that are not known, of bool[V], and the indices of values outside the vocabulary get what is
        expected of an unknown id.
        """
        intercept, effects = self.expected(vectors, known)
        table = np.zeros((self.identity.rows, vectors.shape[1]), np.float32)
        table[1:] = intercept
        table[1 + np.flatnonzero(known)] = (vectors - self.design @ effects)[known]
        self._set_table(model, self.identity, table)
        first = 0
        for field in self.categorical:
            end = first + field.rows - 1
            self._set_table(model, field, np.concatenate([np.zeros_like(effects[:1]), effects[first:end]]))
            first = end
        for number, effect in zip(self.numeric, effects[first:], strict=True):
            self._embedding(model, number.input_name).vector.assign(effect[:-1])
            self._term(model, number.input_name).vector.assign(effect[-1:])

    def _embedding(self, model: keras.Model, name: str) -> keras.layers.Layer:
        return model.get_layer(f"{name}_embedding")

    def _term(self, model: keras.Model, name: str) -> keras.layers.Layer:
        return model.get_layer(f"{self.name}_first_order").terms[name]

    def _dim(self, model: keras.Model) -> int:
        return int(self._embedding(model, self.identity.name).dim) + 1

    def _table(self, model: keras.Model, field: CategoricalField) -> np.ndarray:
        """Return a field's embeddings with its terms of the first order, float32[rows, k + 1]."""
        embedding, term = self._embedding(model, field.name), self._term(model, field.index_name)
        return np.concatenate([embedding.table.numpy(), term.table.numpy()], axis=1)

    def _set_table(self, model: keras.Model, field: CategoricalField, table: np.ndarray) -> None:
        self._embedding(model, field.name).table.assign(table[:, :-1])
        self._term(model, field.index_name).table.assign(table[:, -1:])

    def _number(self, model: keras.Model, number: NumericField) -> np.ndarray:
        """Return a number's embedding with its term of the first order, float32[k + 1]."""
        embedding, term = self._embedding(model, number.input_name), self._term(model, number.input_name)
        return np.concatenate([embedding.vector.numpy(), term.vector.numpy()])


def _mean_hot(indices: np.ndarray, rows: int) -> np.ndarray:
    """Return the share that each index from 1 on has in a row, float32[n, rows - 1]; 0 is padding."""
    indices = indices.reshape(len(indices), -1)
    hot = np.zeros((len(indices), rows), np.float32)
    np.add.at(hot, (np.arange(len(indices))[:, np.newaxis], indices), 1.0)
    hot = hot[:, 1:]
    return hot / np.maximum(hot.sum(axis=1, keepdims=True), 1.0)
