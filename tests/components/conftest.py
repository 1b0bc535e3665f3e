"""A server that speaks S3, for the tests of what may lie in one."""

import subprocess
import sys

import fsspec
import pytest
import s3fs

from serving.launch import free_port


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """The address of an empty bucket of a server in a process of its own."""
    port = free_port(0)
    log = tmp_path / "s3.log"
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [sys.executable, "-m", "moto.server", "--port", str(port)], stdout=file, stderr=file
        ) as process,
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "deepfm")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        while b"Running on" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
        # A client that was made before knows another address.
        s3fs.S3FileSystem.clear_instance_cache()
        fsspec.filesystem("s3").mkdir("ratings")
        yield "s3://ratings"
        process.terminate()
