import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.batch.files import write_block
from pipeline.batch.questions import PREDICTION, RANK, VERSION, RankMovies, RatePairs
from pipeline.batch.scoring import ANSWERED, REASON, REJECTED, Block, Score
from schema import features
from serving.client import Client
from serving.server.config import ServerConfig
from serving.server.server import Server
from serving.wire import HOST

UID, MID, TITLE = features.UID.name, features.MID.name, features.TITLE.name


@pytest.fixture(scope="module")
def online(serving, known):
    """A client of a server of the version."""
    server = Server(ServerConfig(model_base_path=serving, port=0, grpc_max_threads=4))
    server.start()
    with Client(f"{HOST}:{server.port}", known, timeout=60) as client:
        yield client
    server.stop(0)


@pytest.fixture
def score(serving, tmp_path):
    """Ask about tables, a block each; return the answers and the rejected rows, or None where none is."""

    def run(question, *tables):
        starts = np.cumsum([0, *map(len, tables)]).tolist()
        blocks = [Block(start, rows) for start, rows in zip(starts, tables, strict=False)]
        with beam.Pipeline() as pipeline:
            scored = pipeline | beam.Create(blocks) | Score(str(serving / "1"), question)
            for name in (ANSWERED, REJECTED):
                (tmp_path / name).mkdir()
                _ = scored[name] | name >> beam.Map(write_block, folder=tmp_path / name)
        return [
            pq.read_table(tmp_path / name) if any((tmp_path / name).iterdir()) else None
            for name in (ANSWERED, REJECTED)
        ]

    return run


def test_pairs_are_rated_as_online(score, online, pairs):
    rows = pa.table({UID: pairs[:, 0], MID: pairs[:, 1]})
    answered, rejected = score(RatePairs(), rows[:200], rows[200:])
    assert rejected is None
    assert answered.select([UID, MID]) == rows
    ratings = answered[PREDICTION].to_numpy()
    assert ratings.dtype == np.float32
    assert np.unique(ratings).size > len(pairs) // 4
    np.testing.assert_allclose(ratings, online.predict(pairs), atol=1e-5)
    assert answered[VERSION].unique().to_pylist() == [1]


def test_a_block_of_several_calls_keeps_its_order(score, online, pairs):
    many = np.resize(pairs, (20_000, 2))
    answered, _ = score(RatePairs(), pa.table({UID: many[:, 0], MID: many[:, 1]}))
    expected = np.resize(online.predict(pairs), 20_000)
    np.testing.assert_allclose(answered[PREDICTION].to_numpy(), expected, atol=1e-5)


def test_rows_without_ids_are_rejected_and_other_columns_stay(score, online):
    rows = pa.table({"why": ["a", "b", "c", "d"], MID: [3, -3, 4, None], UID: [1.0, 2.0, 2.5, None]})
    answered, rejected = score(RatePairs(), rows, rows[1:3])
    assert answered.drop_columns([PREDICTION]).to_pylist() == [{"why": "a", MID: 3, UID: 1.0, VERSION: 1}]
    assert answered[PREDICTION].to_pylist() == pytest.approx(online.predict([(1, 3)]), abs=1e-5)
    assert rejected.to_pylist() == [
        {"why": "b", MID: -3, UID: 2.0, REASON: "mid_negative"},
        {"why": "c", MID: 4, UID: 2.5, REASON: "uid_not_an_integer"},
        {"why": "d", MID: None, UID: None, REASON: "uid_missing"},
        {"why": "b", MID: -3, UID: 2.0, REASON: "mid_negative"},
        {"why": "c", MID: 4, UID: 2.5, REASON: "uid_not_an_integer"},
    ]


def test_movies_are_ranked_as_online(score, online, known):
    users = [int(known.uids[0]), 999_999, int(known.uids[1])]
    answered, rejected = score(RankMovies(5), pa.table({UID: [*users, None]}))
    assert rejected.to_pylist() == [{UID: None, REASON: "uid_missing"}]
    assert answered.schema == pa.schema(
        {
            UID: pa.int64(),
            RANK: pa.int32(),
            MID: pa.int64(),
            TITLE: pa.string(),
            PREDICTION: pa.float32(),
            VERSION: pa.int64(),
        }
    )
    assert answered[UID].to_pylist() == np.repeat(users, 5).tolist()
    assert answered[RANK].to_pylist() == [1, 2, 3, 4, 5] * 3
    expected = [movie for user in users for movie in online.rank(user, top=5)]
    assert answered[MID].to_pylist() == [movie.mid for movie in expected]
    assert answered[TITLE].to_pylist() == [movie.title for movie in expected]
    assert answered[PREDICTION].to_pylist() == pytest.approx([m.rating for m in expected], abs=1e-5)


def test_more_than_all_movies_is_all_movies(score, known):
    answered, _ = score(RankMovies(10_000), pa.table({UID: [1]}))
    assert sorted(answered[MID].to_pylist()) == sorted(known.mids.tolist())
    assert RankMovies(10_000).answer_rows(7, known) == 7 * len(known.mids)


def test_a_block_of_rankings_is_bounded_by_the_rows_of_its_answer():
    assert [RankMovies(top).block_rows for top in (1, 10, 1000, 10**9)] == [1024, 1024, 131, 1]


def test_top_must_be_positive():
    with pytest.raises(ValueError, match="`top` must be positive, got 0"):
        RankMovies(0)
