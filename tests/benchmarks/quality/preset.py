"""A preset of the project: trained by the whole pipeline, asked as it is served."""

import dataclasses
import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import PRESETS
from pipeline.job import SUMMARY_FILE
from pipeline.source_fingerprint import source_fingerprint
from schema import features
from serving.catalogue import FOLDER, Catalogue
from serving.client.logic import PREDICT_SIGNATURE, RANK_SIGNATURE, ROWS_PER_REQUEST
from serving.saved_model import SessionModel
from tests.benchmarks.quality import splits
from tests.benchmarks.quality.model import NO_MOMENT, SECOND, Answers, Cost, ModelFailedError, Task

ROOT = Path(__file__).parents[3]
_NOT_LOADED = "assets.extra"  # of a SavedModel, by a server


@dataclasses.dataclass(frozen=True)
class PresetModel:
    """One preset.

    Args:
      name: of `PRESETS`.
    """

    name: str

    @property
    def fits_validation(self) -> bool:
        """Whether the preset is fitted to the rows of the validation split too."""
        return PRESETS[self.name].train.FITS_VALIDATION

    @property
    def identity(self) -> str:
        """A SHA-256, as hex, of the preset's configuration and the code it is made and asked by."""
        preset = PRESETS[self.name]
        told = [part.to_json() for part in (preset.transform, preset.model, preset.train)]
        code = source_fingerprint(
            "components.ratings_example_gen.component",
            "components.transform.preprocessing",
            "pipeline.preparation",
            preset.train.RUN_FN,
            "serving.saved_model",
        )
        asked = Path(__file__).read_text(encoding="utf-8")
        return hashlib.sha256(" ".join([*told, code, asked]).encode()).hexdigest()

    def answer(self, task: Task) -> Answers:
        """Run the pipeline, and ask the version that it pushed.

        Raises:
          ModelFailedError: the run failed, pushed nothing or had other rows; or the code was edited
            meanwhile.
        """
        identity = self.identity
        summary = self._run(task)
        version = Path(summary["serving_dir"], str(summary["pushed_version"]))
        questions = pq.read_table(task.rows / splits.QUESTIONS)
        known = Catalogue.load(version / FOLDER)
        with SessionModel(version) as session:
            answers, predict_ms = ask(session, known, questions, ranking=task.ranking)
            predictions = {SECOND: answers}
            if PRESETS[self.name].model.drift_seconds:
                predictions[NO_MOMENT], _ = ask(
                    session, known, without_moments(questions), ranking=task.ranking
                )
        source_fingerprint.cache_clear()
        if self.identity != identity:
            raise ModelFailedError("its code was edited while it was measured")
        return Answers(
            predictions,
            Cost(
                train_seconds=summary["seconds_by_node"]["Trainer"],
                model_bytes=loaded_bytes(version),
                predict_ms=predict_ms,
            ),
            largest_difference=summary["serving_validation"]["largest_difference"],
        )

    def _run(self, task: Task) -> dict[str, Any]:
        """Run the pipeline; return its summary."""
        log, runs = task.work / "run.log", task.work / "runs"
        told = {"data": task.data, "preset": self.name, "seed": task.seed, "split": task.split, "runs": runs}
        with log.open("wb") as output:
            status = subprocess.run(
                [Path(sys.executable).with_name("deepfm"), "run", *(f"--{k}={v}" for k, v in told.items())],
                check=False,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            ).returncode
        found = list(runs.glob(f"*/latest/{SUMMARY_FILE}"))
        if status or not found:
            raise ModelFailedError(f"`deepfm run` ended with status {status}; see {log}")
        summary = json.loads(found[0].read_text(encoding="utf-8"))
        if summary["pushed_version"] is None:
            raise ModelFailedError(f"nothing was pushed: {'; '.join(summary['blessing_reasons'])}; see {log}")
        rows = {
            name: pq.read_metadata(task.rows / file).num_rows
            for name, file in (("train", splits.TRAIN), ("valid", splits.VALID))
        }
        if rows.items() - summary["rows_by_split"].items():
            raise ModelFailedError(
                f"the pipeline split into {summary['rows_by_split']}, where the bench has {rows}"
            )
        return summary


def ask(
    session: SessionModel, known: Catalogue, questions: pa.Table, *, ranking: bool
) -> tuple[np.ndarray, float]:
    """Return what a version says to the questions, float64[n], and the milliseconds for 1,000 of them.

    Args:
      session: the version.
      known: its catalogue.
      questions: as `splits.QUESTIONS` has them; for a ranking, those of a user together.
      ranking: whether scores of `rank` are asked for, and not ratings.
    """
    uids, mids, timestamps = (
        questions[feature.name].to_numpy() for feature in (features.UID, features.MID, features.TIMESTAMP)
    )

    def rate(rows: slice) -> np.ndarray:
        inputs = known.predict_inputs(uids[rows], mids[rows], timestamps[rows])
        return session.run(PREDICT_SIGNATURE, inputs)[features.RATING.name]

    def rank(rows: slice) -> np.ndarray:
        inputs = known.rank_inputs(uids[rows.start], mids[rows], timestamps[rows.start])
        return scores(session.run(RANK_SIGNATURE, inputs), mids[rows])

    answer, parts = (rank, of_users(uids)) if ranking else (rate, requests(len(uids)))
    answer(parts[0])  # the first call is slower
    start = time.perf_counter()
    answers = [answer(part) for part in parts]
    predict_ms = 1e6 * (time.perf_counter() - start) / len(uids)
    return np.concatenate(answers).ravel().astype(np.float64), predict_ms


def without_moments(questions: pa.Table) -> pa.Table:
    """Return the same questions about no moment: about the end of the training data."""
    name = features.TIMESTAMP.name
    moments = pa.array(np.full(len(questions), features.MISSING_INT))
    return questions.set_column(questions.schema.get_field_index(name), name, moments)


def requests(rows: int) -> list[slice]:
    """Return rows in parts of at most a request each."""
    return [slice(first, min(first + ROWS_PER_REQUEST, rows)) for first in range(0, rows, ROWS_PER_REQUEST)]


def of_users(uids: np.ndarray) -> list[slice]:
    """Return the rows of each user; those of a user are together."""
    bounds = np.flatnonzero(np.diff(uids)) + 1
    return [slice(*pair) for pair in itertools.pairwise([0, *bounds.tolist(), len(uids)])]


def scores(outputs: dict[str, np.ndarray], mids: np.ndarray) -> np.ndarray:
    """Return the score of each movie, float32[m], of what `rank` says of int64[m], each once."""
    found = np.empty(len(mids), np.float32)
    found[np.argsort(mids)] = outputs[features.SCORE.name][np.argsort(outputs[features.MID.name])]
    return found


def loaded_bytes(version: Path) -> int:
    """Return the size of the files of a version that a server loads."""
    return sum(
        path.stat().st_size
        for path in version.rglob("*")
        if path.is_file() and _NOT_LOADED not in path.relative_to(version).parts
    )
