import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.batch.files import write_block
from pipeline.batch.questions import PREDICTION, RANK, VERSION, RankMovies, RatePairs
from pipeline.batch.scoring import ANSWERED, REASON, REJECTED, Block, Score
from schema import features
from serving.catalogue import FOLDER, Catalogue
from serving.client import Client
from serving.server.config import ServerConfig
from serving.server.server import Server
from serving.wire import HOST

UID, MID, TITLE = features.UID.name, features.MID.name, features.TITLE.name


@pytest.fixture(scope="module")
def online(knowing):
    """A client of a server of the version."""
    server = Server(ServerConfig(model_base_path=knowing, port=0, grpc_max_threads=4))
    server.start()
    with Client(f"{HOST}:{server.port}", Catalogue.load(knowing / "1" / FOLDER), timeout=60) as client:
        yield client
    server.stop(0)


@pytest.fixture
def score(knowing, tmp_path):
    """Ask about tables, a block each; return the answers and the rejected rows, or None where none is."""

    def run(question, *tables):
        starts = np.cumsum([0, *map(len, tables)]).tolist()
        blocks = [Block(start, rows) for start, rows in zip(starts, tables, strict=False)]
        with beam.Pipeline() as pipeline:
            scored = pipeline | beam.Create(blocks) | Score(str(knowing / "1"), question)
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


@pytest.mark.parametrize("include_rated", [False, True])
def test_movies_are_ranked_as_online(score, online, known, include_rated):
    users = [*known.uids.tolist()[::-1], 999_999]
    answered, rejected = score(RankMovies(5, include_rated), pa.table({UID: [*users, None]}))
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
    ranked = {user: online.rank(user, top=5, include_rated=include_rated) for user in users}
    assert {len(movies) for movies in ranked.values()} == ({5} if include_rated else {0, 2, 3, 5})
    assert answered[UID].to_pylist() == [user for user in users for _ in ranked[user]]
    assert answered[RANK].to_pylist() == [n for user in users for n in range(1, len(ranked[user]) + 1)]
    expected = [movie for user in users for movie in ranked[user]]
    assert answered[MID].to_pylist() == [movie.mid for movie in expected]
    assert answered[TITLE].to_pylist() == [movie.title for movie in expected]
    assert answered[PREDICTION].to_pylist() == pytest.approx([m.rating for m in expected], abs=1e-5)


def test_more_than_all_movies_is_all_movies_that_are_not_rated(score, known, has_rated):
    users = known.uids.tolist()
    answered, _ = score(RankMovies(10_000), pa.table({UID: users}))
    by_user = {user: set() for user in users}
    for uid, mid in zip(answered[UID].to_pylist(), answered[MID].to_pylist(), strict=True):
        by_user[uid].add(mid)
    assert by_user == {user: set(known.mids.tolist()) - set(has_rated[user]) for user in users}
    assert len(answered) == sum(map(len, by_user.values()))


def test_a_user_who_has_rated_everything_gets_a_table_without_rows(score, known):
    last = known.uids.tolist()[-1]
    answered, rejected = score(RankMovies(3), pa.table({UID: [last]}))
    assert rejected is None
    assert len(answered) == 0
    assert answered.schema.field(TITLE).type == pa.string()


def test_how_many_rows_an_answer_has(knowing, known, has_rated):
    knows = Catalogue.load(knowing / "1" / FOLDER)
    rows = pa.table({UID: [*known.uids.tolist(), 999_999]})
    movies, users = len(known.mids), len(known.uids) + 1
    left = [movies - len(mids) for mids in has_rated.values()] + [movies]
    for top in (1, 5, 10_000):
        assert RankMovies(top).answer_rows(knows, rows) == sum(min(top, count) for count in left)
        assert RankMovies(top, include_rated=True).answer_rows(knows, rows) == users * min(top, movies)
        assert RankMovies(top).answer_rows(known, rows) == users * min(top, movies)
    assert RatePairs().answer_rows(knows, rows) == users


def test_a_block_of_rankings_is_bounded_by_the_rows_of_its_answer():
    assert [RankMovies(top).block_rows for top in (1, 10, 1000, 10**9)] == [1024, 1024, 131, 1]


def test_top_must_be_positive():
    with pytest.raises(ValueError, match="`top` must be positive, got 0"):
        RankMovies(0)
