"""A model of another package, fitted by a script of `baselines/` in an environment of their own."""

import dataclasses
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import ClassVar

import numpy as np

from components.ratings_example_gen import parse
from tests.benchmarks.quality import splits
from tests.benchmarks.quality.model import SECOND, Answers, Cost, ModelFailedError, Task

ROOT = Path(__file__).parents[3]
FOLDER = Path(__file__).parent / "baselines"
SHARED = ("task.py", "rated.py", "requirements.txt")
PYTHON = ROOT / ".cache" / "quality" / "baselines" / "bin" / "python"


@dataclasses.dataclass(frozen=True)
class Baseline:
    """One model.

    Args:
      script: takes the arguments that `baselines/task.py` tells of.
      options: further ones.
      python: interpreter that has the script's packages.
    """

    script: Path
    options: tuple[str, ...] = ()
    python: Path = PYTHON

    fits_validation: ClassVar = True

    @property
    def identity(self) -> str:
        """A SHA-256, as hex, of the script, what scripts share, their packages, the options and this file."""
        digest = hashlib.sha256(" ".join(self.options).encode())
        for path in (self.script, *(FOLDER / name for name in SHARED), Path(__file__)):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def answer(self, task: Task) -> Answers:
        """Run the script.

        Raises:
          ModelFailedError: it ended otherwise than it should.
        """
        predictions, cost, log = (task.work / name for name in ("predictions.npy", "cost.json", "run.log"))
        read = [task.rows / name for name in (splits.TRAIN, splits.VALID, splits.QUESTIONS)]
        read.append(task.data / parse.USERS_FILE)
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        environment.pop("TF_USE_LEGACY_KERAS", None)  # TFX sets it; the baselines' TensorFlow has no other
        with log.open("wb") as output:
            status = subprocess.run(
                [self.python, self.script, *read, str(task.seed), predictions, cost, *self.options],
                check=False,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            ).returncode
        if status:
            told = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
            raise ModelFailedError(f"{self.script.name} ended with status {status}: {told}; see {log}")
        return Answers({SECOND: np.load(predictions)}, Cost(**json.loads(cost.read_text(encoding="utf-8"))))
