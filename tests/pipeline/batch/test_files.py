import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.batch import files
from pipeline.batch.scoring import Block
from schema import features

UID, MID, TIMESTAMP = features.UID.name, features.MID.name, features.TIMESTAMP.name


def write(path, rows, **options):
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({UID: range(rows), MID: range(rows)}), path, **options)
    return path


def test_parts_are_the_row_groups_of_all_files_in_order(tmp_path):
    b = write(tmp_path / "in" / "b.parquet", 3)
    a = write(tmp_path / "in" / "a.parquet", 5, row_group_size=2)
    write(tmp_path / "in" / "empty.parquet", 0)
    write(tmp_path / "in" / "_hidden.parquet", 9)
    (tmp_path / "in" / "notes.txt").write_text("")
    expected = [files.Part(str(a), 0, 0), files.Part(str(a), 1, 2), files.Part(str(a), 2, 4)]
    parts, rows = files.find_parts(tmp_path / "in", [UID], [], [])
    assert (parts[:3], rows) == (expected, 8)
    assert files.Part(str(b), 0, 5) in parts
    assert files.find_parts(tmp_path / "in" / "a*.parquet", [UID], [], []) == (expected, 5)
    assert files.find_parts(a, [UID], [], []) == (expected, 5)


def test_a_name_with_the_marks_of_a_pattern_is_a_file_first(tmp_path):
    path = write(tmp_path / "day[1].parquet", 2)
    assert files.find_parts(path, [UID], [], []) == ([files.Part(str(path), 0, 0)], 2)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "nowhere does not exist"),
        ("no-*.parquet", r"no-\*.parquet does not exist"),
        ("bare", "bare holds no"),
        ("bare/text", "text cannot be read as Parquet"),
        ("one.parquet", r"must have one column `mid`, got \['uid'\]"),
        ("twice.parquet", r"must have at most one column `timestamp`, got \['uid', 'mid', 'timestamp', 't"),
        ("rated.parquet", "has a column `prediction`, which the output is to have; rename it"),
    ],
)
def test_what_is_no_input(tmp_path, source, said):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "text").write_text("uid,mid\n")
    pq.write_table(pa.table({UID: [1]}), tmp_path / "one.parquet")
    pq.write_table(pa.table({UID: [1], MID: [1], "prediction": [1.0]}), tmp_path / "rated.parquet")
    twice = pa.table([[1]] * 4, names=[UID, MID, TIMESTAMP, TIMESTAMP])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(files.InputError, match=said):
        files.find_parts(tmp_path / source, [UID, MID], [TIMESTAMP], ["prediction"])


def test_a_row_group_is_read_in_blocks(tmp_path):
    path = write(tmp_path / "a.parquet", 10, row_group_size=7)
    blocks = list(files.read_blocks(files.Part(str(path), 0, 100), [UID], 3))
    assert [(block.first_row, block.rows.to_pydict()) for block in blocks] == [
        (100, {UID: [0, 1, 2]}),
        (103, {UID: [3, 4, 5]}),
        (106, {UID: [6]}),
    ]
    assert next(files.read_blocks(files.Part(str(path), 1, 7), None, 3)).rows.to_pydict() == {
        UID: [7, 8, 9],
        MID: [7, 8, 9],
    }


def test_blocks_written_twice_are_counted_once(tmp_path):
    with files.appearing(tmp_path / "out") as folder:
        for start in (0, 5, 5):
            files.write_block(Block(start, pa.table({UID: [start] * 3})), folder)
        rejected = pa.table({"reason": ["x", "y", "x"]})
        files.write_block(Block(0, rejected), folder / files.REJECTED_FOLDER)
        assert files.count_answers(folder) == 6
        assert files.count_rejected(folder) == {"x": 2, "y": 1}
    assert pq.read_table(tmp_path / "out")[UID].to_pylist() == [0, 0, 0, 5, 5, 5]


def test_the_output_appears_when_all_is_written(tmp_path):
    with files.appearing(tmp_path / "new" / "out") as folder:
        (folder / "file").write_text("whole")
        assert not (tmp_path / "new" / "out").exists()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]
    assert (tmp_path / "new" / "out" / "file").read_text() == "whole"
    assert (tmp_path / "new" / "out").stat().st_mode & 0o777 == 0o755


def test_a_failure_leaves_nothing(tmp_path):
    def write_half():
        with files.appearing(tmp_path / "out") as folder:
            (folder / "file").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys, pathlib
from pipeline.batch import files
with files.appearing(pathlib.Path("out")) as folder:
    (folder / "file").write_text("half")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_goes_with_the_next_call_and_nothing_else(tmp_path):
    started = {"cwd": tmp_path, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    for name in (".out.mine", ".other.unfinished-abc", "out.unfinished-abc"):
        (tmp_path / name).mkdir()
    kept = sorted(tmp_path.iterdir())
    with (
        subprocess.Popen([sys.executable, "-c", WRITER], **started) as dead,
        subprocess.Popen([sys.executable, "-c", WRITER], **started) as alive,
    ):
        left, used = (Path(process.stdout.readline().strip()) for process in (dead, alive))
        assert sorted(tmp_path.iterdir()) == sorted([*kept, left, used])
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        assert (left / "file").read_text() == "half"
        with files.appearing(tmp_path / "out"):
            assert not left.exists()
            assert (used / "file").read_text() == "half"
        shutil.rmtree(tmp_path / "out")
        alive.communicate()
    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / "out"])
    assert (tmp_path / "out" / "file").read_text() == "half"


def test_an_output_that_exists_stays_as_it_is(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="out exists; name a folder that does not"):
        files.appearing(tmp_path / "out").__enter__()
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]
