import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from ml_metadata.proto.metadata_store_pb2 import Execution
from tfx.orchestration import metadata


class Project:
    """A folder where `deepfm` runs in processes of its own, and what its runs on a dataset leave behind.

    The project in the folder runs, if there is one, else the one that is tested.
    """

    def __init__(self, folder, dataset):
        self.folder = folder
        self.home = folder / "runs" / dataset
        self.serving = self.home / "serving" / "deepfm"

    def start(self, *arguments, **options):
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-c", "from pipeline.cli import main; main()", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "120", "PYTHONPATH": os.pathsep.join(sys.path)},
            **options,
        )

    def deepfm(self, *arguments):
        """Run a command; return its exit status and what it printed."""
        process = self.start(*arguments)
        printed, _ = process.communicate(timeout=500)
        return process.returncode, printed

    def kill_in(self, node, *arguments):
        """Run a command, and kill all of it once a node has begun; return the name of what that began."""
        folder = self.home / "artifacts" / node
        before = set(folder.glob("*/*"))
        process = self.start(*arguments, process_group=0)
        deadline = time.monotonic() + 300
        while not (begun := set(folder.glob("*/*")) - before):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return begun.pop().name

    def summary(self):
        """Return what the last run says of itself."""
        return json.loads((self.home / "latest" / "summary.json").read_text())

    def executions(self):
        """Return the number of executions by node and state."""
        connection = metadata.sqlite_metadata_connection_config(str(self.home / "metadata.sqlite"))
        with metadata.Metadata(connection) as handle:
            return Counter(
                (context.name.split(".")[-1], Execution.State.Name(execution.last_known_state))
                for context in handle.store.get_contexts_by_type("node")
                for execution in handle.store.get_executions_by_context(context.id)
            )


@pytest.fixture(scope="session")
def new_project():
    """Make a `Project` of a folder and the name of a dataset."""
    return Project
