"""What old runs left behind goes: of runs of a few nodes, by TFX's own orchestrator."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ml_metadata.proto.metadata_store_pb2 import Artifact, Execution
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.beam.beam_dag_runner import BeamDagRunner
from tfx.types.standard_artifacts import InfraBlessing, ModelBlessing
from tfx.utils import path_utils

from components.pusher.component import Pusher
from components.serving_validator.report import FINGERPRINT
from pipeline import retention
from pipeline.config import PipelineConfig
from serving import versions

NODE = ImportSchemaGen.__name__
NODES = 4  # of a run that came to its end
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from pipeline import retention
from pipeline.config import PipelineConfig
rmtree = shutil.rmtree
def killed(folder):
    rmtree(folder)
    os.kill(os.getpid(), signal.SIGKILL)
shutil.rmtree = killed
config = PipelineConfig(dataset="d", data_folder=".", root=Path(sys.argv[1]), generated=True, keep_runs=1)
retention.remove_old(config, 4)
"""


class Runs:
    """Runs that import a schema and push a model, and what they leave behind."""

    def __init__(self, root):
        self.root = root
        self.numbers = itertools.count()

    def config(self, keep=1):
        return PipelineConfig(dataset="d", data_folder=".", root=self.root, generated=True, keep_runs=keep)

    def run(self, name, *, blessed=0, schema=True):
        """Run; return how the import of the schema ended, and where it lies."""
        config, given = self.config(), self.root / "given" / name
        model = Path(path_utils.stamped_model_path(str(given)))
        model.mkdir(parents=True, exist_ok=True)
        (model / versions.SAVED_MODEL).write_text(name)
        if schema:
            (given / "schema.pbtxt").write_text(f'feature {{ name: "{name}" }}')
        properties = {"blessed": blessed, "has_model": 1, FINGERPRINT: name}
        model_blessing, infra_blessing = (
            Importer(
                source_uri=str(given), artifact_type=kind, custom_properties=properties, reimport=True
            ).with_id(kind.TYPE_NAME)
            for kind in (ModelBlessing, InfraBlessing)
        )
        pusher = Pusher(
            model_blessing=model_blessing.outputs["result"],
            infra_blessing=infra_blessing.outputs["result"],
            serving_dir=str(config.serving),
            keep_versions=1,
        )
        nodes = [model_blessing, infra_blessing, pusher, ImportSchemaGen(schema_file=f"{given}/schema.pbtxt")]
        connection = metadata.sqlite_metadata_connection_config(str(config.metadata))
        try:
            BeamDagRunner().run(
                pipeline.Pipeline(
                    pipeline_name="few",
                    pipeline_root=str(config.artifacts),
                    components=nodes,
                    metadata_connection_config=connection,
                    enable_cache=True,
                )
            )
        except Exception:
            assert not schema
        folder = config.root / "history" / f"{next(self.numbers):04}"
        folder.mkdir(parents=True)
        (folder / "run.log").write_text(name)
        if schema:
            (folder / "summary.json").write_text("{}")
        with metadata.Metadata(connection) as handle:
            (node,) = (one for one in handle.store.get_contexts_by_type("node") if one.name == f"few.{NODE}")
            last = max(handle.store.get_executions_by_context(node.id), key=lambda one: one.id)
        return Execution.State.Name(last.last_known_state), self.folders / str(last.id)

    @property
    def folders(self):
        """Where the schemas lie."""
        return self.config().artifacts / NODE / "schema"

    def schemas(self):
        """Return the state in ML Metadata of each schema that was ever made, by where it lay."""
        connection = metadata.sqlite_metadata_connection_config(str(self.config().metadata))
        with metadata.Metadata(connection) as handle:
            found = handle.store.get_artifacts_by_type("Schema")
        return {Path(one.uri): Artifact.State.Name(one.state) for one in found}

    def remove_old(self, keep):
        """Remove what old runs left; return the schemas that are LIVE, once the disk says the same."""
        retention.remove_old(self.config(keep), NODES)
        live = {folder for folder, state in self.schemas().items() if state == "LIVE"}
        assert {folder for folder in self.folders.iterdir() if any(folder.iterdir())} == live
        assert set(self.schemas().values()) <= {"LIVE", "DELETED"}
        return live


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


def test_the_newest_runs_keep_what_they_made_and_what_they_took_from_the_cache(runs):
    made = {name: runs.run(name)[1] for name in "abcd"}
    assert runs.run("b")[0] == "CACHED"
    assert runs.remove_old(keep=4) == {made["b"], made["c"], made["d"]}
    assert runs.remove_old(keep=2) == {made["b"], made["d"]}
    # Work space of nodes.
    assert not list(runs.config().artifacts.glob("*/.system/*"))


def test_the_cache_never_finds_what_was_removed(runs):
    made = {name: runs.run(name)[1] for name in "ab"}
    assert runs.remove_old(keep=1) == {made["b"]}
    # The address alone does not bring it back.
    made["a"].mkdir()
    again, folder = runs.run("a")
    assert (again, folder.exists()) == ("COMPLETE", True)
    assert runs.run("b")[0] == "CACHED"
    assert runs.remove_old(keep=2) == {made["b"], folder}
    assert runs.schemas()[made["a"]] == "DELETED"
    assert not made["a"].exists()


def test_the_last_run_that_came_to_its_end_stays_past_newer_ones_that_failed(runs):
    made = [runs.run(name)[1] for name in "ab"]
    for _ in range(2):
        state, folder = runs.run("late", schema=False)
        assert state == "FAILED"
        # As RatingsExampleGen does with the rows that it rejects.
        kept = folder.with_name(f"{folder.name}.kept")
        kept.mkdir()
    assert runs.remove_old(keep=1) == {made[1]}
    assert sorted(runs.folders.iterdir()) == sorted([made[1], kept])
    newest = runs.run("c")[1]
    assert runs.remove_old(keep=1) == {newest}
    assert list(runs.folders.iterdir()) == [newest]


def test_runs_whose_versions_are_there_stay(runs):
    made = [runs.run(name, blessed=1)[1] for name in "abcd"]
    newest = runs.run("e")[1]
    # Beside the one newest version, those that were stable before it.
    assert versions.versions(runs.config().serving) == [2, 3, 4]
    assert runs.remove_old(keep=1) == {*made[1:], newest}
    assert len(list((runs.config().artifacts / "Pusher" / "pushed_model").iterdir())) == 4


def test_what_a_killed_call_left_the_next_one_removes(runs):
    made = {name: runs.run(name)[1] for name in "abc"}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, runs.root],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert killed.returncode == -signal.SIGKILL
    old = (made["a"], made["b"])
    assert [runs.schemas()[folder] for folder in old] == ["MARKED_FOR_DELETION"] * 2
    assert any(folder.exists() for folder in old)
    assert runs.schemas()[made["c"]] == "LIVE"
    # More are to stay now, but a part of these may be gone.
    assert runs.run("a")[0] == "COMPLETE"
    runs.run("c")
    assert len(runs.remove_old(keep=2)) == 2
    assert not any(folder.exists() for folder in old)


def test_of_old_runs_the_summary_alone_stays(runs):
    runs.run("a")
    runs.run("killed", schema=False)
    runs.run("b")
    runs.run("late", schema=False)
    runs.run("c")
    runs.remove_old(keep=3)
    history = runs.root / "history"
    assert sorted(str(path.relative_to(history)) for path in history.glob("*/*")) == [
        "0000/summary.json",
        "0002/run.log",
        "0002/summary.json",
        "0003/run.log",
        "0004/run.log",
        "0004/summary.json",
    ]
    assert (history / "0002" / "run.log").read_text() == "b"
    assert not (history / "0001").exists()


def test_a_file_that_is_no_run_stays_and_stops_nothing(runs):
    made = [runs.run(name)[1] for name in "ab"]
    history = runs.root / "history"
    strays = [folder / ".DS_Store" for folder in (history, runs.folders, runs.config().artifacts)]
    for stray in strays:
        stray.write_text("a file browser's")
    retention.remove_old(runs.config(keep=1), NODES)
    assert all(stray.is_file() for stray in strays)
    assert [folder.exists() for folder in made] == [False, True]
    assert [(history / name / "run.log").exists() for name in ("0000", "0001")] == [False, True]


def test_before_the_first_node_ran_there_is_nothing_to_remove(runs):
    (runs.root / "history" / "0000").mkdir(parents=True)
    retention.remove_old(runs.config(), NODES)
    assert (runs.root / "history" / "0000").exists()
