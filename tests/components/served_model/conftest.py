import json

import pytest

from serving import versions


@pytest.fixture
def serving_dir(tmp_path):
    return tmp_path / "serving"


@pytest.fixture
def publish(tmp_path, serving_dir):
    """Publish a model of three files whose manifest says what is given, and return its version."""

    def run(fingerprint, **manifest):
        folder = tmp_path / "models" / fingerprint
        (folder / versions.ASSETS_EXTRA).mkdir(parents=True)
        (folder / "variables").mkdir()
        (folder / versions.SAVED_MODEL).write_bytes(f"graph {fingerprint}".encode())
        (folder / "variables" / "variables.index").write_bytes(b"index")
        (folder / versions.MANIFEST).write_text(json.dumps(manifest))
        (folder / versions.ASSETS_EXTRA / "warm_start.npz").write_bytes(b"weights")
        return versions.publish(folder, serving_dir, fingerprint=fingerprint)

    return run
