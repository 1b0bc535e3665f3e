"""The users of an input, each once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.batch import ids
from pipeline.batch.files import REJECTED_FOLDER, Part, read_blocks, write_block
from pipeline.batch.questions import BLOCK_ROWS
from pipeline.batch.scoring import judge
from schema import features


def write_once(parts: Sequence[Part], identity: features.Feature, path: Path, output: Path) -> int:
    """Write each id of an input once, in the order in which they first stand there.

    Takes memory for each id that differs, about 60 bytes, not for each row.

    Args:
        parts: The input's.
        identity: Whose column it is.
        path: Parquet file to write, with the column as int64.
        output: In its `_rejected` the rows are written whose id has a fault.

    Returns:
        How many rows without a fault repeat an earlier one.

    Raises:
        InputError: The input is damaged.
    """
    known, found = 0, [np.empty(0, np.int64)]
    for part in parts:
        for block in read_blocks(part, [identity.name], BLOCK_ROWS):
            good, rejected = judge(block, (identity,))
            known += len(good.rows)
            found.append(_once(ids.read(good.rows, identity)))
            if len(rejected.rows):
                write_block(rejected, output / REJECTED_FOLDER)
    distinct = _once(np.concatenate(found))
    pq.write_table(pa.table({identity.name: distinct}), path)
    return known - len(distinct)


def _once(values: np.ndarray) -> np.ndarray:
    """Return the values without those that stand further up, int64[n]."""
    return values[np.sort(np.unique(values, return_index=True)[1])]
