"""A server that is killed under load and started again: its callers see neither."""

import asyncio
import concurrent.futures
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from serving import versions
from serving.client import AsyncClient, Client

ROOT = Path(__file__).parents[3]
CALLERS = 2  # of each kind
CALLS = 20  # of each caller, before and after
LONG = 300.0  # seconds; no answer is waited for as long as that


@pytest.fixture
def start(tmp_path, models, free_port):
    """Start a server in a process of its own, always at the same address; return it once it answers."""
    base_path, port = tmp_path / "serving", free_port()
    versions.publish(models[1], base_path, fingerprint="one")
    command = [sys.executable, "-m", "serving.server", f"--port={port}", f"--model_base_path={base_path}"]
    started = []

    def run():
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": ""}
        )
        started.append(process)
        assert f"serving deepfm version 1 at 127.0.0.1:{port}" in process.stdout.readline()
        return process, f"127.0.0.1:{port}"

    yield run
    for process in started:
        process.kill()
        process.communicate()


class Load:
    """Callers that ask until they are told to stop, and what each was answered."""

    def __init__(self, target, catalogue):
        self.target = target
        self.catalogue = catalogue
        self.stop = threading.Event()
        self.answers = [[] for _ in range(2 * CALLERS)]

    def wait_for_more(self):
        """Wait until each caller has had `CALLS` more answers."""
        before = [len(answers) for answers in self.answers]
        while any(len(answers) < n + CALLS for answers, n in zip(self.answers, before, strict=True)):
            for future in self.futures:
                if future.done():
                    future.result()
            time.sleep(0.01)

    def __enter__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(1 + CALLERS)
        self.client = Client(self.target, self.catalogue, timeout=LONG)
        self.futures = [self.pool.submit(self._ask, answers) for answers in self.answers[:CALLERS]]
        self.futures.append(self.pool.submit(asyncio.run, self._ask_together(self.answers[CALLERS:])))
        return self

    def __exit__(self, *error):
        self.stop.set()
        self.pool.shutdown()
        self.client.close()

    def _ask(self, answers):
        while not self.stop.is_set():
            answers.append(self.client.rank(6040))

    async def _ask_together(self, answers):
        async def ask(client, answers):
            while not self.stop.is_set():
                answers.append(await client.rank(6040))

        async with AsyncClient(self.target, self.catalogue, timeout=LONG) as client:
            await asyncio.gather(*[ask(client, mine) for mine in answers])


def test_a_server_that_is_killed_and_comes_back_is_missed_by_nobody(start, movie_catalogue):
    process, target = start()
    with Load(target, movie_catalogue) as load:
        load.wait_for_more()
        process.kill()
        process.wait()
        start()
        load.wait_for_more()
    assert [future.result() for future in load.futures] == [None] * (CALLERS + 1)
    assert {entry.mid for answer in load.answers[0] for entry in answer} == {661, 1193, 8}
    assert all(answer == load.answers[0][0] for answers in load.answers for answer in answers)
