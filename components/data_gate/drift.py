"""Distances between two sets of statistics, by TensorFlow Data Validation and the reviewed schema."""

import os

from google.protobuf import message
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import (
    CommonStatistics,
    DatasetFeatureStatisticsList,
    FeatureNameStatistics,
)
from tfx import types
from tfx.components.statistics_gen.executor import (
    DEFAULT_FILE_NAME,
    tfdv,  # imported by itself, it lacks what TFX puts in
)
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.data_gate.config import DataGateConfig, Kind
from components.data_gate.report import Measurement, measured
from schema import features

_DISTANCES = {
    anomalies_pb2.DriftSkewInfo.Measurement.L_INFTY: "L-infinity distance",
    anomalies_pb2.DriftSkewInfo.Measurement.JENSEN_SHANNON_DIVERGENCE: "Jensen-Shannon divergence",
}


def read_statistics(path: str) -> DatasetFeatureStatisticsList:
    """Read what StatisticsGen wrote of a split.

    Raises:
      ValueError: it is damaged.
    """
    with fileio.open(path, "rb") as file:
        content = file.read()
    try:
        statistics = DatasetFeatureStatisticsList.FromString(content)
    except message.DecodeError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if len(statistics.datasets) != 1:
        raise ValueError(f"{path} is damaged: it is of {len(statistics.datasets)} datasets, not of one")
    return statistics


def split_statistics(statistics: types.Artifact, split: str) -> DatasetFeatureStatisticsList:
    """Read the statistics of a split from the artifact of StatisticsGen."""
    return read_statistics(
        os.path.join(artifact_utils.get_split_uris([statistics], split)[0], DEFAULT_FILE_NAME)
    )


def rows(statistics: DatasetFeatureStatisticsList) -> int:
    """Return how many examples the statistics are of."""
    return int(statistics.datasets[0].num_examples)


def drift(
    now: DatasetFeatureStatisticsList,
    before: DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
    *,
    where: str,
    than: str,
    config: DataGateConfig,
) -> list[Measurement]:
    """Return the distance of each feature that has a `drift_comparator`.

    Args:
      now: statistics of the data of this run.
      before: of the data that a served version was trained on.
      schema: the reviewed schema.
      where: what `now` is of.
      than: what `before` is of, in words.
      config: the severity.
    """
    found = tfdv.validate_statistics(now, schema, previous_statistics=before).drift_skew_info
    return [
        _measured(info.path.step[0], m, Kind.DRIFT, where, than, config)
        for info in found
        for m in info.drift_measurements
    ]


def skew(
    training: DatasetFeatureStatisticsList,
    other: DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
    *,
    kind: Kind,
    where: str,
    config: DataGateConfig,
) -> list[Measurement]:
    """Return the distance of other rows from the training rows, of each feature with a `skew_comparator`.

    Args:
      training: statistics of the training split.
      other: of rows that the model will meet.
      schema: the reviewed schema.
      kind: whose severity holds.
      where: what `other` is of.
      config: the severity.
    """
    found = tfdv.validate_statistics(training, schema, serving_statistics=other).drift_skew_info
    return [
        _measured(info.path.step[0], m, kind, where, "the training split", config)
        for info in found
        for m in info.skew_measurements
    ]


def more_missing(
    now: DatasetFeatureStatisticsList,
    before: DatasetFeatureStatisticsList,
    *,
    kind: Kind = Kind.MISSING,
    where: str,
    than: str,
    config: DataGateConfig,
) -> list[Measurement]:
    """Return the share of rows without a value of each feature of users that may lack one.

    Args:
      now: statistics of the data of this run, or of rows that the model will meet.
      before: of the data to hold them against.
      kind: whose severity holds.
      where: what `now` is of.
      than: what `before` is of, in words.
      config: the bound and the severity.
    """
    shares, earlier = _missing(now), _missing(before)
    return [
        measured(
            config,
            kind,
            feature=name,
            where=where,
            what=f"share of rows without a value ({than}: {earlier[name]:.1%})",
            figure=shares[name],
            high=earlier[name] + config.max_more_missing,
        )
        for name in (feature.name for feature in features.USER_FEATURES)
        if name in shares.keys() & earlier.keys() and (shares[name] or earlier[name])
    ]


def _measured(
    feature: str,
    found: anomalies_pb2.DriftSkewInfo.Measurement,
    kind: Kind,
    where: str,
    than: str,
    config: DataGateConfig,
) -> Measurement:
    return measured(
        config,
        kind,
        feature=feature,
        where=where,
        what=f"{_DISTANCES[found.type]} from {than}",
        figure=found.value,
        high=found.threshold,
    )


def _missing(statistics: DatasetFeatureStatisticsList) -> dict[str, float]:
    """Return the share of rows without a value by feature."""
    return {
        feature.path.step[0] or feature.name: 1 - _common(feature).num_non_missing / max(1, rows(statistics))
        for feature in statistics.datasets[0].features
    }


def _common(feature: FeatureNameStatistics) -> CommonStatistics:
    return getattr(feature, feature.WhichOneof("stats")).common_stats
