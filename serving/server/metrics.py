"""Prometheus metrics, under TensorFlow Serving's names where it has them.

TensorFlow Serving's exporter turns the slashes of its metrics' names into colons, so they start with one, and
its counters do not end in `_total`. What it does not measure is called `deepfm_serving_…` here.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import prometheus_client
from prometheus_client import exposition, metrics_core, registry

from serving.server.manager import ModelManager

CONTENT_TYPE = exposition.CONTENT_TYPE_PLAIN_0_0_4

_COUNTED = ("Classify", "Predict", "Regress")
"""What TensorFlow Serving counts as requests to a model."""

_MICROSECONDS = 1e6
# Microseconds; TensorFlow Serving writes six digits of each.
_LATENCIES = tuple(float(f"{10 * 1.8**power:.6g}") for power in range(33))
_BATCH_SIZES = tuple(2.0**power for power in range(15))
_COUNTER_NAME = re.compile(r"^((?:# (?:HELP|TYPE) )?:[\w:]+)_total(?=[ {])", re.MULTILINE)


class Metrics:
    """Counts what one server does.

    Attributes:
        batch_size: Histogram of the rows that ran together, by `model_name`; whoever batches observes it.

    Args:
        models: Returns the manager of each configured model by name.
    """

    def __init__(self, models: Callable[[], Mapping[str, ModelManager]]) -> None:
        # The time at which each series began is OpenMetrics' and would double their number.
        prometheus_client.disable_created_metrics()
        self._registry = prometheus_client.CollectorRegistry()
        self._models = models
        self._request_count = self._counter(
            ":tensorflow:serving:request_count", "The total number of requests.", "model_name", "status"
        )
        self._request_latency = self._histogram(
            ":tensorflow:serving:request_latency",
            "Distribution of wall time (in microseconds) for Tensorflow Serving request.",
            _LATENCIES,
            "model_name",
            "API",
            "entrypoint",
        )
        self._runtime_latency = self._histogram(
            ":tensorflow:serving:runtime_latency",
            "Distribution of wall time (in microseconds) for Tensorflow runtime.",
            _LATENCIES,
            "model_name",
            "API",
            "runtime",
        )
        self._load_attempt_count = self._counter(
            ":tensorflow:cc:saved_model:load_attempt_count",
            "The number of times a SavedModel was requested to be loaded.",
            "model_path",
            "status",
        )
        self._load_latency = self._counter(
            ":tensorflow:cc:saved_model:load_latency",
            "Latency in microseconds for SavedModels that were successfully loaded.",
            "model_path",
        )
        self.batch_size = self._histogram(
            ":tensorflow:serving:batching_session:processed_batch_size",
            "Distribution of the rows of a batch.",
            _BATCH_SIZES,
            "model_name",
        )
        self._errors = self._counter(
            "deepfm_serving_errors", "Failed calls of every API, by code.", "API", "entrypoint", "code"
        )
        self._registry.register(_LoadedVersions(models))

    def answered(self, api: str, entrypoint: str, model_name: str, code: str, seconds: float) -> None:
        """Count one call.

        Args:
            api: Name of the method, as in `Predict`, or "" for a path that is none.
            entrypoint: `GRPC` or `REST`.
            model_name: The model that was asked; one that is not configured counts under "", lest callers
                make up series without end.
            code: Name of the canonical status code.
            seconds: Wall time.
        """
        if api in _COUNTED:
            known = model_name if model_name in self._models() else ""
            self._request_count.labels(known, code).inc()
            if code == "OK":
                self._request_latency.labels(known, api, entrypoint).observe(seconds * _MICROSECONDS)
        if code != "OK":
            self._errors.labels(api, entrypoint, code).inc()

    def ran(self, api: str, model_name: str, seconds: float) -> None:
        """Note how long TensorFlow took for one request."""
        self._runtime_latency.labels(model_name, api, "TF1").observe(seconds * _MICROSECONDS)

    def loaded(self, model_path: str, seconds: float | None) -> None:
        """Count an attempt to load a version.

        Args:
            model_path: Folder of the version.
            seconds: How long it took, or None if it failed.
        """
        self._load_attempt_count.labels(model_path, "fail" if seconds is None else "success").inc()
        if seconds is not None:
            self._load_latency.labels(model_path).inc(seconds * _MICROSECONDS)

    def page(self) -> bytes:
        """Return everything in Prometheus' text format."""
        text = exposition.generate_latest(self._registry).decode()
        return _COUNTER_NAME.sub(r"\1", text).encode()

    def _counter(self, name: str, documentation: str, *labels: str) -> prometheus_client.Counter:
        return prometheus_client.Counter(name, documentation, labels, registry=self._registry)

    def _histogram(
        self, name: str, documentation: str, buckets: tuple[float, ...], *labels: str
    ) -> prometheus_client.Histogram:
        return prometheus_client.Histogram(
            name, documentation, labels, buckets=buckets, registry=self._registry
        )


class _LoadedVersions(registry.Collector):
    """Reads, at each look, which versions serve, so that one that is gone is gone here too."""

    def __init__(self, models: Callable[[], Mapping[str, ModelManager]]) -> None:
        self._models = models

    def collect(self) -> Iterator[Any]:
        loaded = metrics_core.GaugeMetricFamily(
            "deepfm_serving_loaded_version",
            "1 for each version that serves.",
            labels=["model_name", "version"],
        )
        for model_name, manager in sorted(self._models().items()):
            for version in manager.available:
                loaded.add_metric([model_name, str(version)], 1)
        yield loaded
        depth = metrics_core.GaugeMetricFamily(
            "deepfm_serving_queue_depth", "Requests that wait for a batch.", labels=["model_name"]
        )
        for model_name, manager in sorted(self._models().items()):
            depth.add_metric([model_name], sum(getattr(m, "depth", 0) for m in manager.models.values()))
        yield depth
