"""Ids and moments as people keep them in Parquet, and what is wrong with those that are none."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schema import features

_EXACT = 2.0**53  # beyond it a double skips integers


def faults(rows: pa.Table, judged: Sequence[features.Feature]) -> pa.Array:
    """Return the first fault of each row's ids and moment, string[n]; null where there is none.

    An id is an integer from 0 to 2^63 - 1, in a column of any integer type, or of floats, which is what a
    column of integers with gaps becomes in pandas. So is a moment, up to `features.MAX_TIMESTAMP`.
    """
    found = [_faults(rows[feature.name].combine_chunks(), feature) for feature in judged]
    return pc.coalesce(*found)


def read(rows: pa.Table, feature: features.Feature) -> np.ndarray:
    """Return ids or moments that have no fault, int64[n]."""
    return rows[feature.name].cast(pa.int64()).to_numpy()


def _faults(column: pa.Array, feature: features.Feature) -> pa.Array:
    name, kind = feature.name, column.type
    if pa.types.is_floating(kind):
        column = column.cast(pa.float64())
        missing = column.is_null(nan_is_null=True)
        whole = pc.and_(pc.equal(pc.floor(column), column), pc.less_equal(pc.abs(column), _EXACT))
    elif pa.types.is_integer(kind):
        missing = column.is_null()
        whole = column.is_valid()
    else:
        fault = pa.scalar(f"{name}_not_an_integer")
        return pc.if_else(column.is_null(), pa.scalar(f"{name}_missing"), fault)
    negative = pc.less(column, pa.scalar(0, column.type))
    if feature == features.TIMESTAMP:
        too_large = pc.greater(column.cast(pa.float64(), safe=False), float(features.MAX_TIMESTAMP))
    elif kind == pa.uint64():  # of the types that get this far the only one that holds more than int64
        too_large = pc.greater(column, pa.scalar(np.iinfo(np.int64).max, kind))
    else:
        too_large = pc.less(column, column)
    conditions = [pc.fill_null(c, False) for c in (missing, pc.invert(whole), negative, too_large)]
    reasons = [f"{name}_{reason}" for reason in ("missing", "not_an_integer", "negative", "too_large")]
    return pc.case_when(pc.make_struct(*conditions), *reasons, pa.scalar(None, pa.string()))
