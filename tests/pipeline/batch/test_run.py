import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.batch.questions import RankMovies, RatePairs
from pipeline.batch.run import run
from pipeline.beam_profiles import BeamConfig
from schema import features

UID, MID = features.UID.name, features.MID.name


class RankLosingOne(RankMovies):
    def answer(self, version, rows):
        return super().answer(version, rows)[1:]


class RateLosingOne(RatePairs):
    def answer(self, version, rows):
        return super().answer(version, rows)[1:]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        # Of three users the last has rated all movies.
        (RankLosingOne(2), "of 5 rows 3 were to be answered, 1 are rejected and 1 repeated; 4 .*, 3 are"),
        (RateLosingOne(), "of 5 rows 4 were to be answered, 1 are rejected and 0 repeated; 4 .*, 3 are"),
    ],
)
def test_a_row_that_gets_lost_fails_the_batch(knowing, has_rated, tmp_path, question, said):
    first, *_, last = has_rated
    rows = pa.table({UID: [first, 999_999, last, None, first], MID: [1] * 5})
    pq.write_table(rows, tmp_path / "in.parquet")
    with pytest.raises(AssertionError, match=said):
        run(question, tmp_path / "in.parquet", tmp_path / "out", knowing / "1", BeamConfig().args)
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]
