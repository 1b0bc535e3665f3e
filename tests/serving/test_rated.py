import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schema import features
from serving import rated
from serving.hashing import mix

UID, MID = features.UID.name, features.MID.name
PARTS = 3
# User u has rated u movies: u, 2u, 3u ...
RATED = {uid: [uid * n for n in range(1, uid + 1)] for uid in range(1, 301)}


def _write(folder):
    for part in range(PARTS):
        pairs = [(uid, mid) for uid, mids in RATED.items() if mix(uid) % PARTS == part for mid in mids]
        uids, mids = np.array(pairs, np.int64).T
        rows = pa.table({MID: mids, features.RATING.name: np.ones(len(mids)), UID: uids})
        rated.write_part(rows, folder, part, PARTS)
    return sorted((folder / "rated").iterdir())


def test_each_user_has_their_movies_and_no_other(tmp_path):
    _write(tmp_path)
    known = rated.Rated(tmp_path)
    assert known.parts == PARTS
    assert {uid: known.mids(uid).tolist() for uid in RATED} == RATED
    assert known.mids(1).dtype == np.int64
    assert [known.mids(uid).tolist() for uid in (0, 301, -1, 2**62)] == [[]] * 4


def test_the_files_are_sorted_and_hold_ids_alone(tmp_path):
    paths = _write(tmp_path)
    assert [path.name for path in paths] == [f"0000{part}-of-00003.parquet" for part in range(PARTS)]
    pairs = []
    for path in paths:
        table = pq.read_table(path)
        assert table.schema.names == [UID, MID]
        rows = list(zip(table[UID].to_pylist(), table[MID].to_pylist(), strict=True))
        assert rows == sorted(rows)
        pairs += rows
    assert sorted(pairs) == sorted((uid, mid) for uid, mids in RATED.items() for mid in mids)


def test_one_user_is_read_without_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(rated, "_ROWS_PER_GROUP", 500)
    paths = _write(tmp_path)
    uid = 250
    path = paths[mix(uid) % PARTS]
    data = bytearray(path.read_bytes())
    metadata = pq.ParquetFile(path).metadata
    spoilt = 0
    for group in range(metadata.num_row_groups):
        chunks = [metadata.row_group(group).column(column) for column in range(2)]
        if not chunks[0].statistics.min <= uid <= chunks[0].statistics.max:
            for chunk in chunks:
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                data[start : start + chunk.total_compressed_size] = b"x" * chunk.total_compressed_size
            spoilt += 1
    path.write_bytes(data)
    assert spoilt >= metadata.num_row_groups - 2 > 10
    known = rated.Rated(tmp_path)
    assert known.mids(uid).tolist() == RATED[uid]
    other = next(user for user in RATED if mix(user) % PARTS == mix(uid) % PARTS)
    with pytest.raises(OSError, match=r"(?i)page|thrift|corrupt|deserialize"):
        known.mids(other)


def test_a_part_that_is_missing_is_named(tmp_path):
    paths = _write(tmp_path)
    paths[1].rename(paths[1].with_suffix(".gone.parquet"))
    uid = next(user for user in RATED if mix(user) % PARTS == 1)
    with pytest.raises(FileNotFoundError, match="00001-of-00003"):
        rated.Rated(tmp_path).mids(uid)
