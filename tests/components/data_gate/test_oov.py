import tensorflow as tf

from components.data_gate.config import DataGateConfig, Severity
from components.data_gate.oov import unknown
from schema import features

CONFIG = DataGateConfig(min_oov_rows=4, max_uid_oov=0.5, max_mid_oov=0.3, oov=Severity.STOP)


def judged(tmp_path, pairs, vocabularies, config=CONFIG):
    """Judge two files of examples by what a version knows."""
    (tmp_path / "examples").mkdir()
    for number, part in enumerate((pairs[:2], pairs[2:])):
        with tf.io.TFRecordWriter(str(tmp_path / "examples" / f"data-{number}.gz"), "GZIP") as writer:
            for uid, mid in part:
                example = tf.train.Example()
                example.features.feature[features.UID.name].int64_list.value.append(uid)
                example.features.feature[features.MID.name].int64_list.value.append(mid)
                writer.write(example.SerializeToString())
    (tmp_path / "model" / "assets").mkdir(parents=True)
    for feature, text in vocabularies.items():
        (tmp_path / "model" / "assets" / feature.vocabulary_name).write_text(text)
    return unknown(
        str(tmp_path / "examples"), str(tmp_path / "model"), where="test", than="version 3", config=config
    )


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
