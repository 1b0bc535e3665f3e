import numpy as np
import pytest

from components.data_gate import ids
from schema import features


def test_ids_are_those_of_all_files(tmp_path, write_ids):
    write_ids(tmp_path / "data-0.gz", [(1, 10), (1, 20)])
    write_ids(tmp_path / "data-1.gz", [(3, 30)])
    found = ids.read(str(tmp_path))
    assert {name: values.tolist() for name, values in found.items()} == {
        features.UID.name: [1, 1, 3],
        features.MID.name: [10, 20, 30],
    }


def test_a_split_without_rows_has_no_ids(tmp_path):
    found = ids.read(str(tmp_path))
    assert [(values.dtype, len(values)) for values in found.values()] == [(np.int64, 0)] * 2


@pytest.mark.parametrize(
    ("uids", "users"),
    [([], 0.0), ([7] * 9, 1.0), ([1, 2, 3, 4], 4.0), ([1, 1, 1, 2], 1.6)],
)
def test_a_user_with_many_rows_tells_little_more_than_one_with_few(uids, users):
    assert ids.effective_users(np.array(uids, np.int64)) == pytest.approx(users)
