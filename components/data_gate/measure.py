"""All that DataGate measures of a run's data, from its inputs to the report."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList
from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components.data_gate import days, drift, ids, oov, requests
from components.data_gate.config import DataGateConfig, Kind
from components.data_gate.report import Measurement, Report
from components.errors import RunStoppedError
from components.ratings_example_gen import counts
from components.ratings_example_gen.artifacts import SPANS
from components.ratings_example_gen.parse import RATINGS_FILE
from components.ratings_example_gen.split import SPLITS, TEST, TRAIN
from components.served_model.properties import BASELINE_VERSION, NO_VERSION, TRAIN_STATISTICS
from schema import features
from serving import versions

_SCHEMA_FILE = "schema.pbtxt"
_Judged = tuple[list[Measurement], list[str]]  # figures, and what could not be judged


def measure(
    inputs: Mapping[str, types.Artifact], splits: list[str], config: DataGateConfig, serving_dir: str
) -> Report:
    """Return all figures of a run's data.

    Args:
      inputs: of the node, by name.
      splits: whose anomalies were looked for.
      config: the bounds.
      serving_dir: folder of the model's numbered versions, beside which servers log requests.

    Raises:
      RunStoppedError: what the served version carries is damaged.
    """
    data = _Data(
        train=drift.split_statistics(inputs["statistics"], SPLITS[TRAIN]),
        test=drift.split_statistics(inputs["statistics"], SPLITS[TEST]),
        test_ids=ids.read(artifact_utils.get_split_uris([inputs["examples"]], SPLITS[TEST])[0]),
        schema=io_utils.SchemaReader().read(os.path.join(inputs["schema"].uri, _SCHEMA_FILE)),
        config=config,
    )
    baseline = inputs["baseline_model"]
    version = baseline.get_int_custom_property(BASELINE_VERSION)
    served = path_utils.serving_model_path(baseline.uri)
    told = inputs["examples"].get_string_custom_property(SPANS)
    new: list[str] = []
    judged = [data.newest(), data.requests(serving_dir)]
    if version != NO_VERSION:
        judged = [data.drift(served, f"version {version}"), data.oov(served, f"version {version}"), *judged]
    if told:
        ratings = counts.read(inputs["rejected_rows"].uri)[RATINGS_FILE]
        by_day = days.read_days(ratings, json.loads(told))
        new = days.new_days(by_day, json.loads(told), _spans_of(served))
        judged.append(days.judge(by_day, new, config))
    return Report(
        splits=splits,
        baseline=f"compared with version {version}"
        if version != NO_VERSION
        else "no model was served before this one: no drift to measure",
        days=new,
        measurements=[measurement for measurements, _ in judged for measurement in measurements],
        notes=[note for _, notes in judged for note in notes],
    )


@dataclasses.dataclass(frozen=True)
class _Data:
    """Statistics of a run's data, and what they are held to."""

    train: DatasetFeatureStatisticsList
    test: DatasetFeatureStatisticsList
    test_ids: ids.Ids
    schema: schema_pb2.Schema
    config: DataGateConfig

    def drift(self, served: str, than: str) -> _Judged:
        """Hold the training split against that of a served version, by the version's folder."""
        path = os.path.join(served, TRAIN_STATISTICS)
        if not fileio.exists(path):
            return [], [f"drift: {than} has no {TRAIN_STATISTICS}"]
        try:
            before = drift.read_statistics(path)
        except ValueError as error:
            raise RunStoppedError(
                f"of a copy of the served version, {error}\n"
                "go back to a sound version with `deepfm rollback`",
                of_data=False,
            ) from error
        where = SPLITS[TRAIN]
        found = drift.more_missing(self.train, before, where=where, than=than, config=self.config)
        rows = min(drift.rows(self.train), drift.rows(before))
        if rows < self.config.min_drift_rows:
            return found, [f"drift: {rows:,} training rows, {self.config.min_drift_rows:,} needed"]
        distances = drift.drift(self.train, before, self.schema, where=where, than=than, config=self.config)
        return [*found, *distances], []

    def oov(self, served: str, than: str) -> _Judged:
        """Look for the users and movies of the test split in a served version."""
        return oov.unknown(self.test_ids, served, where=SPLITS[TEST], than=than, config=self.config)

    def newest(self) -> _Judged:
        """Hold the test split against the training split."""
        rows = drift.rows(self.test)
        if rows < self.config.min_newest_rows:
            return [], [f"newest rows: {rows:,} in {SPLITS[TEST]}, {self.config.min_newest_rows:,} needed"]
        found = self._skew(self.test, Kind.NEWEST, SPLITS[TEST])
        users = ids.effective_users(self.test_ids[features.UID.name])
        if users >= self.config.min_newest_users:
            return found, []
        of_users = {feature.name for feature in features.USER_FEATURES}
        return [m for m in found if m.feature not in of_users], [
            f"users of the newest rows: as telling as {users:.1f} with as many rows each, "
            f"{self.config.min_newest_users:g} needed"
        ]

    def requests(self, serving_dir: str) -> _Judged:
        """Hold the requests that were logged beside a serving folder against the training split."""
        logged = requests.read(serving_dir)
        if logged.rows < self.config.min_request_rows:
            return [], [f"requests: {logged.rows:,} logged, {self.config.min_request_rows:,} needed"]
        where = "logged requests"
        missing = drift.more_missing(
            logged.statistics,
            self.train,
            kind=Kind.REQUESTS,
            where=where,
            than="the training split",
            config=self.config,
        )
        return [*self._skew(logged.statistics, Kind.REQUESTS, where), *missing], []

    def _skew(self, other: DatasetFeatureStatisticsList, kind: Kind, where: str) -> list[Measurement]:
        return drift.skew(self.train, other, self.schema, kind=kind, where=where, config=self.config)


def _spans_of(served: str) -> dict[str, Any] | None:
    """Return which days a served version read; None where it does not say, or there is none."""
    path = os.path.join(served, versions.MANIFEST)
    if not fileio.exists(path):
        return None
    spans: dict[str, Any] | None = json.loads(io_utils.read_string_file(path)).get(SPANS)
    return spans
