import numpy as np

from components.data_gate.config import DataGateConfig, Severity
from components.data_gate.oov import unknown
from schema import features

CONFIG = DataGateConfig(min_oov_rows=4, max_uid_oov=0.5, max_mid_oov=0.3, oov=Severity.STOP)


def judged(tmp_path, pairs, vocabularies, config=CONFIG):
    """Judge pairs of user and movie by what a version knows."""
    uids, mids = np.array(pairs).T
    (tmp_path / "model" / "assets").mkdir(parents=True)
    for feature, text in vocabularies.items():
        (tmp_path / "model" / "assets" / feature.vocabulary_name).write_text(text)
    ids = {features.UID.name: uids, features.MID.name: mids}
    return unknown(ids, str(tmp_path / "model"), where="test", than="version 3", config=config)


PAIRS = [(1, 10), (1, 20), (2, 10), (3, 30)]


def test_shares_of_unknown_users_and_movies_are_of_rows(tmp_path):
    vocabularies = {features.UID: "3\n1\n7\n", features.MID: "20\n40\n"}
    (users, movies), notes = judged(tmp_path, PAIRS, vocabularies)
    assert notes == []
    assert (users.feature, users.figure, users.high, users.passed) == (features.UID.name, 0.25, 0.5, True)
    assert movies.text == (
        "test: `mid`: share of rows that version 3 does not know is 75.0%, at most 30.0% allowed"
    )
    assert (movies.passed, movies.severity) == (False, Severity.STOP)


def test_a_version_without_vocabularies_is_told(tmp_path):
    found, notes = judged(tmp_path, PAIRS, {features.UID: "1\n"})
    assert [m.feature for m in found] == [features.UID.name]
    assert notes == ["`mid`: version 3 has no vocabulary of it"]


def test_few_rows_are_not_judged(tmp_path):
    found, notes = judged(tmp_path, PAIRS[:3], {features.UID: "1\n", features.MID: "10\n"})
    assert found == []
    assert notes[0] == "`uid`: 3 rows in test, too few to say how many are new"
