import collections
import json

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.errors import RunStoppedError
from components.ratings_example_gen import counts, driver
from components.ratings_example_gen.artifacts import EVALUATION_START, SPANS, Catalogue, RejectedRows
from components.ratings_example_gen.config import ExampleGenConfig, RunDays, SpanConfig
from components.ratings_example_gen.executor import Executor, count_shards, plan_groups
from components.ratings_example_gen.facts import RatingFacts
from components.ratings_example_gen.inputs import find_inputs
from components.ratings_example_gen.properties import FIRST_RATING, LAST_RATING
from components.ratings_example_gen.split import row_hash
from schema import features
from serving import catalogue

BAD_RATINGS = {
    5: (b"", "blank_line"),
    17: (b"1::2::3", "wrong_number_of_fields"),
    40: (b"one::2::3::4", "uid_not_a_number"),
    41: (b"1::2::9::4", "rating_out_of_range"),
    99: (b"1::2::3::never", "bad_timestamp"),
    100: (b"999::1::3::1000", "unknown_user"),
    250: (b"1::999::3::1000", "unknown_movie"),
    300: (b"1::1::5::1", "repeated_uid_mid"),
    301: (b"UserID::MovieID::Rating::Timestamp", "header"),
    320: (b"1::2::3\xff::4", "bad_encoding"),
    321: (b"1::2::\x003::4", "nul_byte"),
    322: (b"\xef\xbb\xbf1::2::3::4", "byte_order_mark"),
    323: (b"1::2::3::4\r", "crlf_line_end"),
}
GOOD_RATINGS = 600


@pytest.fixture
def folder(tmp_path):
    """20 users who rated 30 movies each, the last movie only by one of them, and bad lines."""
    ratings = [
        f"{u}::{m}::{1 + (u * m) % 5}::{3600 * (u * 30 + m)}".encode()
        for u in range(1, 21)
        for m in range(1, 31)
    ]
    for line, (text, _) in sorted(BAD_RATINGS.items()):
        ratings.insert(line - 1, text)
    (tmp_path / "ratings.dat").write_bytes(b"\n".join(ratings) + b"\n")
    movies = [f"{m}::Caf\xe9 {m} (1999)::Drama|War".encode("latin-1") for m in range(1, 31)]
    (tmp_path / "movies.dat").write_bytes(b"\n".join(movies) + b"\n")
    users = [f"{u}::F::25::7::{'' if u == 3 else '02139'}".encode() for u in range(1, 21)]
    (tmp_path / "users.dat").write_bytes(b"\n".join(users) + b"\n")
    return tmp_path


def run(folder, output, run_date="", **config):
    outputs = {
        "examples": [standard_artifacts.Examples()],
        "rejected_rows": [RejectedRows()],
        "catalogue": [Catalogue()],
    }
    for name, (artifact,) in outputs.items():
        artifact.uri = str(output / name)
        (output / name).mkdir(parents=True, exist_ok=True)
    options = {"max_rejected_fraction": 0.05, "cold_below": 20, "heavy_from": 26} | config
    example_gen = ExampleGenConfig(**options)
    properties = {
        "input_base": str(folder),
        "example_gen_config": example_gen.to_json(),
        "input_fingerprint": "f",
        "run_date": run_date,
        "lag_days": 0,
        "window_days": 0,
    }
    properties["inputs"] = find_inputs(str(folder), example_gen.days(properties)).to_json()
    Executor().Do({}, outputs, properties)
    examples = outputs["examples"][0]
    times = {name: examples.get_int_custom_property(name) for name in (FIRST_RATING, LAST_RATING)}
    (output / "properties.json").write_text(json.dumps(times))
    days = {name: examples.get_string_custom_property(name) for name in (EVALUATION_START, SPANS)}
    (output / "days.json").write_text(json.dumps(days))
    return output


def read_examples(output):
    examples = {}
    for split in ("train", "valid", "test"):
        files = sorted(map(str, (output / "examples" / f"Split-{split}").glob("*")))
        records = tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
        examples[split] = [tf.train.Example.FromString(record).features.feature for record in records]
    return examples


def pair(example):
    return tuple(example[f.name].int64_list.value[0] for f in (features.UID, features.MID))


@pytest.mark.parametrize("shard_bytes", [1 << 20, 1000])
def test_exactly_the_planted_lines_are_rejected(folder, tmp_path, shard_bytes):
    output = run(folder, tmp_path / "out", shard_bytes=shard_bytes)
    rejected = pq.read_table(output / "rejected_rows").to_pylist()
    found = {row["line"]: (row["text"], row["reason"]) for row in rejected}
    assert found == BAD_RATINGS
    examples = read_examples(output)
    pairs = [pair(e) for split in examples.values() for e in split]
    assert sorted(pairs) == [(u, m) for u in range(1, 21) for m in range(1, 31)]
    files = counts.from_json((output / "rejected_rows" / counts.COUNTS_FILE).read_text())
    assert files["ratings.dat"].read == GOOD_RATINGS + len(BAD_RATINGS)
    assert files["ratings.dat"].accepted == GOOD_RATINGS
    assert files["ratings.dat"].rejected == collections.Counter(reason for _, reason in BAD_RATINGS.values())
    assert files["ratings.dat"].splits == {name: len(split) for name, split in examples.items()}
    assert (files["users.dat"].read, files["users.dat"].accepted) == (20, 20)


def records(output, *splits):
    files = [str(f) for split in splits for f in (output / "examples" / f"Split-{split}").glob("*")]
    serialized = tf.data.TFRecordDataset(sorted(files), "GZIP").as_numpy_iterator()
    return sorted(tf.train.Example.FromString(r).SerializeToString(deterministic=True) for r in serialized)


@pytest.mark.parametrize("split", ["random", "time"])
def test_no_rating_of_the_test_split_reaches_what_is_trained_on(folder, tmp_path, split):
    first = run(folder, tmp_path / "first", split=split)
    tested = [pair(example) for example in read_examples(first)["test"]]
    lines = (folder / "ratings.dat").read_bytes().split(b"\n")
    for line, (user, movie) in enumerate(
        line.split(b"::")[:2] if line.count(b"::") == 3 else (b"", b"") for line in lines
    ):
        if user.isdigit() and movie.isdigit() and (int(user), int(movie)) in tested:
            fields = lines[line].split(b"::")
            fields[2] = b"%d" % (1 + int(fields[2]) % 5)
            lines[line] = b"::".join(fields)
    (folder / "ratings.dat").write_bytes(b"\n".join(lines))
    second = run(folder, tmp_path / "second", split=split)
    # All that Transform, Trainer and the gates before them read of the ratings, statistics of users and
    # movies included, is in these records; a training reads no others.
    assert records(first, "train", "valid") == records(second, "train", "valid")
    assert len(tested) > 30
    assert not set(records(first, "test")) & set(records(second, "test"))


def test_a_row_is_in_the_same_split_however_the_file_is_cut(folder, tmp_path):
    one, many = (
        {name: {pair(e) for e in split} for name, split in read_examples(output).items()}
        for output in (run(folder, tmp_path / "one"), run(folder, tmp_path / "many", shard_bytes=1000))
    )
    assert one == many


def test_an_example_holds_the_joined_row(folder, tmp_path):
    examples = read_examples(run(folder, tmp_path / "out"))
    by_pair = {pair(e): e for split in examples.values() for e in split}
    example = by_pair[2, 4]
    assert example[features.RATING.name].float_list.value == [4.0]
    assert example[features.TIMESTAMP.name].int64_list.value == [3600 * 64]
    assert example[features.TITLE.name].bytes_list.value == ["Café 4 (1999)".encode()]
    assert example[features.GENRES.name].bytes_list.value == [b"Drama", b"War"]
    assert example[features.GENDER.name].bytes_list.value == [b"F"]
    assert example[features.AGE.name].int64_list.value == [25]
    assert example[features.OCCUPATION.name].int64_list.value == [7]
    assert example[features.ZIP.name].bytes_list.value == [b"02139"]
    assert not by_pair[3, 4][features.ZIP.name].bytes_list.value
    train_of_user = collections.Counter(pair(e)[0] for e in examples["train"])
    level = train_of_user[2]
    expected = "cold" if level < 20 else "heavy" if level >= 26 else "light"
    assert example[features.USER_ACTIVITY.name].bytes_list.value == [expected.encode()]


def test_the_time_split_puts_the_last_ratings_into_test(folder, tmp_path):
    examples = read_examples(run(folder, tmp_path / "out", split="time"))
    times = {
        name: [e[features.TIMESTAMP.name].int64_list.value[0] for e in split]
        for name, split in examples.items()
    }
    assert max(times["train"]) < min(times["valid"])
    assert max(times["valid"]) < min(times["test"])
    assert (len(times["valid"]), len(times["test"])) == (30, 60)


def test_the_catalogue_has_every_user_and_movie(folder, tmp_path):
    tables = catalogue.Catalogue.load(run(folder, tmp_path / "out") / "catalogue")
    assert tables.mids.tolist() == list(range(1, 31))
    assert tables.uids.tolist() == list(range(1, 21))


@pytest.mark.parametrize("shard_bytes", [1 << 20, 1000])
def test_the_catalogue_knows_every_accepted_rating(folder, tmp_path, shard_bytes):
    lines = (folder / "ratings.dat").read_bytes().splitlines()
    (folder / "ratings.dat").write_bytes(b"\n".join(line for line in lines if line[:5] != b"7::4:") + b"\n")
    tables = catalogue.Catalogue.load(run(folder, tmp_path / "out", shard_bytes=shard_bytes) / "catalogue")
    assert {uid: tables.rated(uid).tolist() for uid in range(22)} == {
        0: [],
        **{uid: list(range(1, 31)) for uid in range(1, 21)},
        7: [1, 2, 3, *range(5, 31)],
        21: [],
    }


@pytest.mark.parametrize("split", ["random", "time"])
def test_the_examples_tell_the_time_of_the_ratings_to_fit(folder, tmp_path, split):
    output = run(folder, tmp_path / "out", split=split, shard_bytes=1000)
    examples = read_examples(output)
    times = [
        example[features.TIMESTAMP.name].int64_list.value[0]
        for example in examples["train"] + examples["valid"]
    ]
    properties = json.loads((output / "properties.json").read_text())
    assert properties == {FIRST_RATING: min(times), LAST_RATING: max(times)}
    if split == "time":
        # The last sixty hours of 31 to 630 are for the test split.
        assert properties == {FIRST_RATING: 3600 * 31, LAST_RATING: 3600 * 570}


def test_too_many_rejected_lines_stop_the_run_and_are_kept(folder, tmp_path):
    for _ in range(2):  # attempts at the same address
        with pytest.raises(
            RunStoppedError, match=r"13 of 613 lines rejected \(2.12%, at most 1.00% allowed\)"
        ):
            run(folder, tmp_path / "out", max_rejected_fraction=0.01)
    assert len(pq.read_table(tmp_path / "out" / "rejected_rows.kept")) == len(BAD_RATINGS)


def test_a_split_without_rows_stops_the_run_and_the_counts_are_kept(folder, tmp_path):
    with pytest.raises(RunStoppedError, match="the valid split is empty: 600 accepted ratings") as stopped:
        run(folder, tmp_path / "out", valid_fraction=1e-9)
    assert stopped.value.rejected_rows == str(tmp_path / "out" / "rejected_rows.kept")
    assert counts.read(stopped.value.rejected_rows)["ratings.dat"].accepted == GOOD_RATINGS
    assert list((tmp_path / "out" / "rejected_rows").iterdir()) == []  # which TFX deletes


def test_the_fingerprint_follows_the_content(folder):
    inputs = find_inputs(str(folder), None)
    before = driver.fingerprint(str(folder), inputs)
    assert driver.fingerprint(str(folder), inputs) == before
    with (folder / "users.dat").open("ab") as file:
        file.write(b"21::M::25::7::02139\n")
    assert driver.fingerprint(str(folder), inputs) != before


def test_a_missing_and_an_empty_file_are_named(folder):
    inputs = find_inputs(str(folder), None)
    (folder / "users.dat").write_bytes(b"")
    with pytest.raises(RunStoppedError, match=r"users\.dat is empty"):
        driver.fingerprint(str(folder), inputs)
    (folder / "movies.dat").unlink()
    with pytest.raises(RunStoppedError, match=r"movies\.dat is missing"):
        driver.fingerprint(str(folder), inputs)


def test_a_file_that_cannot_be_read_says_nothing_of_the_data(folder):
    inputs = find_inputs(str(folder), None)
    (folder / "users.dat").unlink()
    (folder / "users.dat").mkdir()
    with pytest.raises(RunStoppedError, match=r"users\.dat cannot be read: .*Is a directory") as stopped:
        driver.fingerprint(str(folder), inputs)
    assert not stopped.value.of_data


def test_blocks_cover_the_file_and_end_on_line_ends(folder):
    data = (folder / "ratings.dat").read_bytes()
    groups = plan_groups([str(folder / "ratings.dat")], 1000)
    assert len(groups) > 5
    blocks = [block for group in groups for block in group]
    assert b"".join(block.read() for block in blocks) == data
    assert all(block.read().endswith(b"\n") for block in blocks)


# Three days; the last one came twice. Their times say nothing of the day, as only the folder counts.
SPAN_RATINGS = {
    "span-2000-12-29/ratings.dat": "1::1::1::100\n1::2::2::101\n2::1::3::102\n2::1::5::103\n3::1::9::104\n",
    "span-2000-12-30/ratings.dat": "",
    "span-2000-12-31/ratings.dat": "9::9::9::9\n",
    "span-2000-12-31/version-2/ratings.dat": "1::1::5::90\n3::2::4::91\n1::1::4::92\n1::8::4::93\n",
}


@pytest.fixture
def days(tmp_path):
    """A folder of three days, the last of them in two versions."""
    folder = tmp_path / "days"
    for name, text in SPAN_RATINGS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "movies.dat").write_text("1::A::Drama\n2::B::War\nbad\n")
    (folder / "span-2000-12-30" / "users.dat").write_text(
        "1::F::25::7::1\n2::F::25::7::1\n3::F::25::7::1\nbad\n"
    )
    return folder


def run_days(folder, output, **options):
    # Of the two training pairs (1, 2) and (2, 1), this seed and share put the first into the valid split.
    return run(
        folder,
        output,
        "2000-12-31",
        **{
            "spans": SpanConfig(evaluation_days=1),
            "split_seed": VALID_SEED,
            "valid_fraction": 0.5,
            "max_rejected_fraction": 1.0,
            **options,
        },
    )


VALID_SEED = next(
    seed
    for seed in range(100)
    if (row_hash(np.array([1, 2]), np.array([2, 1]), seed) < 2**63).tolist() == [True, False]
)


@pytest.mark.parametrize("shard_bytes", [1, 40, 1 << 20])
def test_days_are_split_by_day_and_later_ratings_replace_earlier_ones(days, tmp_path, shard_bytes):
    output = run_days(days, tmp_path / "out", shard_bytes=shard_bytes)
    found = {
        name: {pair(e): e[features.RATING.name].float_list.value[0] for e in rows}
        for name, rows in read_examples(output).items()
    }
    assert found == {
        "train": {(2, 1): 3.0},
        "valid": {(1, 2): 2.0},
        "test": {(1, 1): 5.0, (3, 2): 4.0},
    }
    files = counts.read(str(output / "rejected_rows"))
    ratings = files["ratings.dat"]
    assert (ratings.read, ratings.accepted, ratings.rejected_total, ratings.replaced) == (9, 4, 4, 1)
    assert ratings.rejected == {"repeated_uid_mid": 2, "rating_out_of_range": 1, "unknown_movie": 1}
    first, last = "span-2000-12-29/ratings.dat", "span-2000-12-31/version-2/ratings.dat"
    assert ratings.read_by_file == {first: 5, last: 4}
    assert ratings.rejected_by_file == {first: 2, last: 2}
    assert (files["users.dat"].read, files["users.dat"].accepted) == (4, 3)
    assert (files["movies.dat"].read, files["movies.dat"].accepted) == (3, 2)
    rejected = [tuple(row.values())[:4] for row in pq.read_table(output / "rejected_rows").to_pylist()]
    assert sorted(rejected) == [
        ("movies.dat", 3, "", "wrong_number_of_fields"),
        (first, 4, "mid", "repeated_uid_mid"),
        (first, 5, "rating", "rating_out_of_range"),
        ("span-2000-12-30/users.dat", 4, "", "wrong_number_of_fields"),
        (last, 3, "mid", "repeated_uid_mid"),
        (last, 4, "mid", "unknown_movie"),
    ]
    tables = catalogue.Catalogue.load(output / "catalogue")
    assert {uid: tables.rated(uid).tolist() for uid in (1, 2, 3)} == {1: [1, 2], 2: [1], 3: [2]}
    assert json.loads((output / "properties.json").read_text()) == {
        FIRST_RATING: 101,
        LAST_RATING: 102,
    }
    told = json.loads((output / "days.json").read_text())
    assert told[EVALUATION_START] == "2000-12-31"
    assert json.loads(told[SPANS]) == {
        "training": ["2000-12-29", "2000-12-30"],
        "evaluation": ["2000-12-31", "2000-12-31"],
        "missing": [],
        "redelivered": ["span-2000-12-31/version-2/ratings.dat"],
    }


@pytest.mark.parametrize("shard_bytes", [1, 40, 1 << 20])
def test_the_facts_of_a_day_are_those_of_all_that_it_brought(days, tmp_path, shard_bytes):
    users = days / "span-2000-12-30" / "users.dat"
    users.write_text(users.read_text().replace("1::F::25::7::1", "1::F::25::7::"))
    output = run_days(days, tmp_path / "out", shard_bytes=shard_bytes)
    ratings = counts.read(str(output / "rejected_rows"))["ratings.dat"]
    assert ratings.facts_by_file == {
        # The rating of user 1 that the last day replaces counts too.
        "span-2000-12-29/ratings.dat": RatingFacts(
            rows=3,
            squared_rows=2**2 + 1,
            ratings=1 + 2 + 3,
            squared_ratings=1 + 4 + 9,
            replacing=0,
            missing=collections.Counter({features.ZIP.name: 2}),
        ),
        "span-2000-12-31/version-2/ratings.dat": RatingFacts(
            rows=2,
            squared_rows=1 + 1,
            ratings=5 + 4,
            squared_ratings=25 + 16,
            replacing=1,
            missing=collections.Counter({features.ZIP.name: 1}),
        ),
    }


def contents(output):
    return {
        str(path.relative_to(output)): path.read_bytes()
        for folder in ("examples", "catalogue")
        for path in (output / folder).rglob("*")
        if path.is_file() and path.suffix != ".gz"
    }, read_examples(output)


def test_the_same_date_again_gives_the_same_files(days, tmp_path):
    first = contents(run_days(days, tmp_path / "one", shard_bytes=40))
    (days / "span-2001-01-01").mkdir()
    (days / "span-2001-01-01" / "ratings.dat").write_text("1::1::1::1\n")
    assert contents(run_days(days, tmp_path / "two", shard_bytes=40)) == first


def test_days_in_an_object_store_give_the_same_files(days, bucket, tmp_path):
    here = contents(run_days(days, tmp_path / "here", shard_bytes=40))
    fsspec.filesystem("s3").put(str(days), f"{bucket}/days", recursive=True)
    address = f"{bucket}/days"
    assert contents(run_days(address, tmp_path / "there", shard_bytes=40)) == here
    inputs = find_inputs(address, RunDays(run_date="2000-12-31", evaluation_days=1))
    assert driver.fingerprint(address, inputs) == driver.fingerprint(str(days), inputs)
    with pytest.raises(RunStoppedError, match=r"^missing or late: 2001-01-01; s3://ratings/days/span-2001"):
        find_inputs(address, RunDays(run_date="2001-01-01"))
    fsspec.filesystem("s3").rm(f"{address}/movies.dat")
    with pytest.raises(RunStoppedError, match=r"^s3://ratings/days/movies\.dat is missing; "):
        driver.fingerprint(address, inputs)


def test_a_bad_day_of_the_evaluation_span_stops_the_run_however_small_it_is(days, tmp_path):
    # More bad lines than in the evaluation span, but few among so many.
    good = "9\n9\n" + "".join(f"{u}::{m}::3::{u}\n" for u in range(1, 101) for m in range(1, 21))
    (days / "span-2000-12-29" / "ratings.dat").write_text(good)
    (days / "movies.dat").write_text("".join(f"{m}::A::Drama\n" for m in range(1, 21)))
    (days / "users.dat").write_text("".join(f"{u}::F::1::1::1\n" for u in range(1, 101)))
    (days / "span-2000-12-30" / "users.dat").unlink()
    bad = days / "span-2000-12-31" / "version-2" / "ratings.dat"
    bad.write_text("1::1::6::9\n1::2::3::9\n")
    message = (
        r"days/ratings\.dat of the evaluation span: 1 of 2 lines rejected \(50\.00%, "
        r"at most 1\.00% allowed\): wrong_number_of_fields 2, rating_out_of_range 1\. "
        r"That is of all days; most are in span-2000-12-31/version-2/ratings\.dat\.$"
    )
    with pytest.raises(RunStoppedError, match=message):
        run_days(days, tmp_path / "out", max_rejected_fraction=0.01)


def test_small_files_share_a_group_and_a_large_one_is_divided(tmp_path):
    sizes = (3, 3, 0, 5, 25, 4)
    paths = []
    for number, size in enumerate(sizes):
        paths.append(str(tmp_path / str(number)))
        (tmp_path / str(number)).write_bytes(b"x\n" * (size // 2) + b"x" * (size % 2))
    groups = plan_groups(paths, 10)
    found = [[(b.span, b.number, b.first, b.end - b.start) for b in group] for group in groups]
    assert found == [
        [(0, 0, 0, 3), (1, 1, 1, 3)],
        [(3, 2, 2, 5)],
        [(4, 3, 3, 12)],
        [(4, 4, 3, 12)],
        [(4, 5, 3, 1), (5, 6, 6, 4)],
    ]


@pytest.mark.parametrize(("groups", "shards"), [(1, 1), (64, 64), (72, 72), (73, 73), (74, 73), (6400, 864)])
def test_large_data_has_fewer_shards_than_groups(groups, shards):
    assert count_shards(groups) == shards
