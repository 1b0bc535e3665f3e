import pyarrow as pa
import pytest

from schema import features
from serving import catalogue
from serving.catalogue import Catalogue

UID, MID, TIMESTAMP = features.UID.name, features.MID.name, features.TIMESTAMP.name
GENDER, AGE = features.GENDER.name, features.AGE.name
OCCUPATION, ZIP = features.OCCUPATION.name, features.ZIP.name
GENRES, TITLE = features.GENRES.name, features.TITLE.name

MOVIES = pa.table(
    {MID: [30, 10, 20], TITLE: ["C", None, "é"], GENRES: [["Drama"], None, ["War", "Sci-Fi"]]},
    schema=catalogue.MOVIES,
)
USERS = pa.table(
    {UID: [2, 1], GENDER: ["M", "F"], AGE: [18, None], OCCUPATION: [0, 20], ZIP: ["02139", None]},
    schema=catalogue.USERS,
)


def _lists(arrays):
    return {name: array.tolist() for name, array in arrays.items()}


@pytest.fixture
def known(tmp_path):
    catalogue.write(MOVIES, USERS, tmp_path / "catalogue")
    return Catalogue.load(tmp_path / "catalogue")


def test_users(known):
    assert _lists(known.user_features([1, 99, 2])) == {
        UID: [1, 99, 2],
        GENDER: [b"F", b"", b"M"],
        AGE: [-1, -1, 18],
        OCCUPATION: [20, -1, 0],
        ZIP: [b"", b"", b"02139"],
    }


def test_movies(known):
    assert _lists(known.movie_features([20, 99, 30, 10, 20])) == {
        MID: [20, 99, 30, 10, 20],
        GENRES: [[b"War", b"Sci-Fi"], [b"", b""], [b"Drama", b""], [b"", b""], [b"War", b"Sci-Fi"]],
    }
    assert known.titles([20, 30, 99, 10]) == ["é", "C", "", ""]
    assert known.mids.tolist() == [30, 10, 20]
    assert known.uids.tolist() == [2, 1]


def test_inputs_of_the_signatures(known):
    predict = known.predict_inputs([1, 2], [10, 20])
    assert sorted(predict) == sorted(feature.name for feature in features.SERVED)
    assert all(len(value) == 2 for value in predict.values())
    assert predict[TIMESTAMP].tolist() == [-1, -1]
    assert known.predict_inputs([1, 2], [10, 20], [5, 6])[TIMESTAMP].tolist() == [5, 6]
    assert known.predict_inputs([1, 2], [10, 20], 7)[TIMESTAMP].tolist() == [7, 7]
    rank = known.rank_inputs(2, [10, 20, 30], 7)
    assert rank[TIMESTAMP].tolist() == [7]
    assert {name: len(value) for name, value in rank.items()} == {
        UID: 1, GENDER: 1, AGE: 1, OCCUPATION: 1, ZIP: 1, MID: 3, GENRES: 3, TIMESTAMP: 1,
    }  # fmt: skip


def test_who_has_rated_what(known, rated_catalogue):
    assert rated_catalogue.knows_rated
    assert [rated_catalogue.rated(uid).tolist() for uid in (1, 6040, 2)] == [[8, 661], [1193], []]
    several = rated_catalogue.rated_by_each([6040, 2, 1, 6040])
    assert [mids.tolist() for mids in several] == [[1193], [], [8, 661], [1193]]
    assert not known.knows_rated
    assert known.rated(1).tolist() == []
    assert [mids.tolist() for mids in known.rated_by_each([1, 2])] == [[], []]


def test_an_empty_catalogue_knows_nothing():
    nothing = Catalogue.empty()
    assert _lists(nothing.predict_inputs([1], [10])) == {
        UID: [1], GENDER: [b""], AGE: [-1], OCCUPATION: [-1], ZIP: [b""], MID: [10], GENRES: [[b""]],
        TIMESTAMP: [-1],
    }  # fmt: skip
    assert nothing.titles([10]) == [""]
    assert nothing.mids.tolist() == []


def test_no_ids(known):
    assert {name: value.shape for name, value in known.movie_features([]).items()} == {
        MID: (0,),
        GENRES: (0, 2),
    }


@pytest.mark.parametrize(
    ("movies", "users", "message"),
    [
        (MOVIES.drop_columns([TITLE]), USERS, "the columns must be"),
        (MOVIES, USERS.append_column("x", pa.array([1, 2])), "the columns must be"),
        (MOVIES.set_column(0, MID, pa.array([1, 2, 3], pa.int32())), USERS, "must be int64, got int32"),
        (MOVIES, pa.concat_tables([USERS, USERS]), "must be unique, got 2 repeated values"),
        (MOVIES.set_column(0, MID, pa.array([1, None, 3])), USERS, "must not be null, got 1 nulls"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, movies, users, message):
    with pytest.raises(ValueError, match=message):
        catalogue.write(movies, users, tmp_path / "catalogue")
    assert not (tmp_path / "catalogue").exists()


def test_load_needs_the_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        Catalogue.load(tmp_path)
