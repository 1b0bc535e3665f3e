"""Transformed examples as batches, fast and in bounded memory.

tf.data shuffles and batches row by row, which costs more than the model's own step. Here the records are
parsed some thousand at a time into columns; a block of columns is permuted as a whole and cut into
batches. A split that fits into one block is read once and stays in memory.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from schema import features

Columns = dict[str, np.ndarray]

_PARSE_ROWS = 16_384


class Batches:
    """The rows of a split, in another order each epoch.

    Args:
      patterns: file patterns of gzip TFRecords of transformed examples.
      feature_spec: the transformed features, all of fixed length, the label among them.
      batch_size: rows of a batch; an epoch's last one may be smaller.
      block_rows: rows that are held in memory and shuffled together.
      seed: of the order of rows; None keeps the order of the files.

    Raises:
      FileNotFoundError: no file matches the patterns.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        feature_spec: Mapping[str, tf.io.FixedLenFeature],
        *,
        batch_size: int,
        block_rows: int,
        seed: int | None = None,
    ) -> None:
        self._files = sorted(tf.io.gfile.glob(list(patterns)))
        if not self._files:
            raise FileNotFoundError(f"no file matches {', '.join(patterns)}")
        self._feature_spec = dict(feature_spec)
        self._batch_size = batch_size
        self._block_rows = block_rows
        self._random = None if seed is None else np.random.default_rng(seed)
        self._whole: Columns | None = None

    def dataset(self) -> tf.data.Dataset:
        """Return batches of (features, label): a dict of [batch, ...] tensors, and float32[batch]."""
        signature = {
            name: tf.TensorSpec((None, *spec.shape), spec.dtype) for name, spec in self._feature_spec.items()
        }
        label = signature.pop(features.LABEL.name)
        batches = tf.data.Dataset.from_generator(self._epoch, output_signature=(signature, label))
        return batches.prefetch(4)

    def columns(self) -> Columns:
        """Return all rows at once, the label among them."""
        return _concatenate(list(self._blocks()))

    def mean_label(self) -> tuple[float, int]:
        """Return the mean of the label, and the number of rows."""
        total, rows = 0.0, 0
        for block in self._blocks():
            total += float(block[features.LABEL.name].sum(dtype=np.float64))
            rows += len(block[features.LABEL.name])
        return total / rows, rows

    def _epoch(self) -> Iterator[tuple[Columns, np.ndarray]]:
        for block in self._blocks():
            rows = len(block[features.LABEL.name])
            order = np.arange(rows) if self._random is None else self._random.permutation(rows)
            for start in range(0, rows, self._batch_size):
                chosen = order[start : start + self._batch_size]
                batch = {name: column[chosen] for name, column in block.items()}
                label = batch.pop(features.LABEL.name)
                yield batch, label

    def _blocks(self) -> Iterator[Columns]:
        if self._whole is not None:
            yield self._whole
            return
        blocks = 0
        parts: list[Columns] = []
        for part in self._parsed():
            parts.append(part)
            if sum(len(p[features.LABEL.name]) for p in parts) >= self._block_rows:
                blocks += 1
                yield _concatenate(parts)
                parts = []
        if parts:
            block = _concatenate(parts)
            if not blocks:
                self._whole = block
            yield block

    def _parsed(self) -> Iterator[Columns]:
        """Yield the columns of some thousand records at a time."""
        files = self._files if self._random is None else self._random.permutation(self._files)
        records = tf.data.Dataset.from_tensor_slices(files).interleave(
            lambda file: tf.data.TFRecordDataset(file, compression_type="GZIP"),
            cycle_length=min(len(files), 8),
            block_length=1024,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        parsed = records.batch(_PARSE_ROWS).map(
            lambda serialized: tf.io.parse_example(serialized, self._feature_spec),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        yield from parsed.prefetch(2).as_numpy_iterator()


def _concatenate(parts: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
