"""How the process of a run ends, where the disk does not do as it should."""

import json
import os

import pytest

from pipeline import events, local_worker
from pipeline.config import PipelineConfig
from pipeline.job import Job


@pytest.fixture
def run(tmp_path):
    """Run on a damaged ML Metadata, as if in a process of its own; return exit status and events."""

    def run(run_folder):
        config = PipelineConfig(dataset="d", data_folder=".", root=tmp_path, generated=True, keep_runs=1)
        for name in ("0000", "0001"):
            (tmp_path / "history" / name).mkdir(parents=True)
            (tmp_path / "history" / name / "run.log").touch()
            (tmp_path / "history" / name / "summary.json").write_text("{}")
        config.metadata.write_bytes(b"no database " * 1000)
        job = Job(
            config=config,
            run_folder=tmp_path / "history" / run_folder,
            event_descriptor=os.open(tmp_path / "events", os.O_WRONLY | os.O_CREAT),
            facts={"serving_dir": str(config.serving)},
        )
        status = local_worker.run(job)
        with (tmp_path / "events").open(encoding="utf-8") as stream:
            return status, [(event.kind, event.text) for event in events.read_events(stream)]

    return run


def test_an_error_of_ml_metadata_is_told_and_breaks_no_run_that_has_ended(run, tmp_path):
    status, told = run("0001")
    summary = json.loads((tmp_path / "latest" / "summary.json").read_text())
    (failed, cause), (removal, text) = told
    assert (status, failed, removal) == (1, events.FAILED, events.FAILED)
    assert cause == summary["error"]
    assert text.startswith("what old runs left could not be removed: ")


def test_what_old_runs_left_goes_though_the_summary_cannot_be_written(run, tmp_path):
    status, told = run("gone")
    texts = [text for kind, text in told if kind == events.FAILED]
    assert status == 1
    assert texts[1].startswith("summary.json could not be written: [Errno 2] ")
    assert sorted(path.name for path in (tmp_path / "history" / "0000").iterdir()) == ["summary.json"]
