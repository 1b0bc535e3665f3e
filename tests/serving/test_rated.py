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
    assert {uid: known.mids([uid])[0].tolist() for uid in RATED} == RATED
    assert known.mids([1])[0].dtype == np.int64
    assert [known.mids([uid])[0].tolist() for uid in (0, 301, -1, 2**62)] == [[]] * 4


def test_many_users_are_read_at_once_in_any_order(tmp_path, monkeypatch):
    _write(tmp_path)
    known = rated.Rated(tmp_path)
    uids = np.random.default_rng(0).permutation([*RATED, 0, 301, -1, 2**62, 7, 7]).tolist()
    read, read_table = [], pq.read_table
    monkeypatch.setattr(pq, "read_table", lambda path, **how: read.append(path) or read_table(path, **how))
    found = known.mids(uids)
    assert [mids.tolist() for mids in found] == [RATED.get(uid, []) for uid in uids]
    assert {mids.dtype for mids in found} == {np.dtype(np.int64)}
    assert len(read) == PARTS
    assert known.mids([]) == []


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


def test_users_are_read_without_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(rated, "_ROWS_PER_GROUP", 500)
    paths = _write(tmp_path)
    part = 1
    users = [uid for uid in RATED if mix(uid) % PARTS == part]
    near = users[70:72]
    data = bytearray(paths[part].read_bytes())
    metadata = pq.ParquetFile(paths[part]).metadata
    spoilt = 0
    for group in range(metadata.num_row_groups):
        chunks = [metadata.row_group(group).column(column) for column in range(2)]
        statistics = chunks[0].statistics
        if statistics.max < near[0] or statistics.min > near[1]:
            for chunk in chunks:
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                data[start : start + chunk.total_compressed_size] = b"x" * chunk.total_compressed_size
            spoilt += 1
    paths[part].write_bytes(data)
    assert spoilt >= metadata.num_row_groups - 3 > 10
    known = rated.Rated(tmp_path)
    for uids in (near[:1], near, near[::-1]):
        assert [mids.tolist() for mids in known.mids(uids)] == [RATED[uid] for uid in uids]
    for uids in (users[:1], [users[0], near[0]]):
        with pytest.raises(OSError, match=r"(?i)page|thrift|corrupt|deserialize"):
            known.mids(uids)


def test_a_part_that_is_missing_is_named(tmp_path):
    paths = _write(tmp_path)
    paths[1].rename(paths[1].with_suffix(".gone.parquet"))
    uid = next(user for user in RATED if mix(user) % PARTS == 1)
    with pytest.raises(FileNotFoundError, match="00001-of-00003"):
        rated.Rated(tmp_path).mids([uid])
