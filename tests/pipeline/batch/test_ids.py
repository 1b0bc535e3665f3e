import numpy as np
import pyarrow as pa
import pytest

from pipeline.batch import ids
from schema import features

UID, MID, TIMESTAMP = features.UID, features.MID, features.TIMESTAMP


@pytest.mark.parametrize(
    ("column", "faults"),
    [
        (pa.array([0, 7, 2**63 - 1, None, -1]), [None, None, None, "uid_missing", "uid_negative"]),
        (pa.array([5, -5], pa.int8()), [None, "uid_negative"]),
        (pa.array([2**63 - 1, 2**63], pa.uint64()), [None, "uid_too_large"]),
        (
            pa.array([3.0, 3.5, float("nan"), None, -2.0, float("inf"), 2.0**53, 2.0**54]),
            [
                None, "uid_not_an_integer", "uid_missing", "uid_missing", "uid_negative",
                "uid_not_an_integer", None, "uid_not_an_integer",
            ],
        ),
        (pa.array([3.0, 0.5], pa.float32()), [None, "uid_not_an_integer"]),
        (pa.array(["3", None]), ["uid_not_an_integer", "uid_missing"]),
        (pa.array([None, None]), ["uid_missing", "uid_missing"]),
        (pa.array([True]), ["uid_not_an_integer"]),
        (pa.array([], pa.int64()), []),
    ],
)  # fmt: skip
def test_each_fault(column, faults):
    assert ids.faults(pa.table({UID.name: column}), [UID]).to_pylist() == faults


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.float64()])
def test_a_moment_in_milliseconds_is_too_large(kind):
    column = pa.array([0, 978300760, 4102444799, 4102444800, 978300760000, None], kind)
    assert ids.faults(pa.table({TIMESTAMP.name: column}), [TIMESTAMP]).to_pylist() == [
        None, None, None, "timestamp_too_large", "timestamp_too_large", "timestamp_missing",
    ]  # fmt: skip


def test_a_moment_of_a_small_type():
    column = pa.array([7, -1], pa.int8())
    faults = ids.faults(pa.table({TIMESTAMP.name: column}), [TIMESTAMP])
    assert faults.to_pylist() == [None, "timestamp_negative"]


def test_the_first_fault_of_a_row_counts():
    rows = pa.table({MID.name: [-1, -1, 4], UID.name: [None, 2, 3]})
    assert ids.faults(rows, [UID, MID]).to_pylist() == ["uid_missing", "mid_negative", None]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.float64(), pa.int64()])
def test_ids_of_any_type_are_read_as_int64(kind):
    found = ids.read(pa.table({UID.name: pa.array([0, 100], kind)}), UID)
    assert found.dtype == np.int64
    assert found.tolist() == [0, 100]
