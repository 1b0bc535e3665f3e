"""Messages of TensorFlow Serving's configuration files that tensorflow-serving-api does not hold.

Their fields are those of https://github.com/tensorflow/serving/tree/master/tensorflow_serving/config.
"""

from pathlib import Path
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
    text_format,
    wrappers_pb2,
)

from serving import errors

_Field = descriptor_pb2.FieldDescriptorProto
_FIELDS: dict[str, tuple[tuple[str, int | str], ...]] = {
    "SSLConfig": (
        ("server_key", _Field.TYPE_STRING),
        ("server_cert", _Field.TYPE_STRING),
        ("custom_ca", _Field.TYPE_STRING),
        ("client_verify", _Field.TYPE_BOOL),
    ),
    "PrometheusConfig": (("enable", _Field.TYPE_BOOL), ("path", _Field.TYPE_STRING)),
    "MonitoringConfig": (("prometheus_config", "PrometheusConfig"),),
    "BatchingParameters": (
        ("max_batch_size", "google.protobuf.Int64Value"),
        ("batch_timeout_micros", "google.protobuf.Int64Value"),
        ("max_enqueued_batches", "google.protobuf.Int64Value"),
        ("num_batch_threads", "google.protobuf.Int64Value"),
        ("thread_pool_name", "google.protobuf.StringValue"),
        ("allowed_batch_sizes", _Field.TYPE_INT64),
        ("pad_variable_length_inputs", _Field.TYPE_BOOL),
    ),
}
_REPEATED = ("allowed_batch_sizes",)
_PACKAGE = "tensorflow.serving"

_METRICS_PATH = "/monitoring/prometheus/metrics"


def read_monitoring_config(path: str | Path) -> str | None:
    """Read a `--monitoring_config_file`.

    Returns:
        The path of the metrics on the REST port, or None if they are not enabled.

    Raises:
        InvalidRequest: The file is not there, or no MonitoringConfig in protobuf's text format.
    """
    config = _read(path, "MonitoringConfig", "monitoring config").prometheus_config
    return (config.path or _METRICS_PATH) if config.enable else None


def read_ssl_config(path: str | Path) -> Any:
    """Read a `--ssl_config_file`.

    Returns:
        An SSLConfig, whose strings are PEM texts.

    Raises:
        InvalidRequest: The file is not there, no SSLConfig in protobuf's text format, or lacks a text.
    """
    config = _read(path, "SSLConfig", "SSL config")
    for name, wanted in (("server_key", True), ("server_cert", True), ("custom_ca", config.client_verify)):
        if wanted and not getattr(config, name):
            raise errors.InvalidRequest(f"{path} is no SSL config file: `{name}` is missing")
    return config


def read_batching_parameters(path: str | Path) -> Any:
    """Read a `--batching_parameters_file`.

    Returns:
        A BatchingParameters.

    Raises:
        InvalidRequest: The file is not there, or no BatchingParameters in protobuf's text format.
    """
    return _read(path, "BatchingParameters", "batching parameters")


def _read(path: str | Path, name: str, kind: str) -> Any:
    try:
        text = Path(path).read_text(encoding="utf-8")
        return text_format.Parse(text, _MESSAGES[name]())
    except (OSError, text_format.ParseError, UnicodeDecodeError) as error:
        raise errors.InvalidRequest(f"{path} is no {kind} file: {error}") from error


def _messages() -> dict[str, type[message.Message]]:
    """Return the classes of `_FIELDS`, in a pool of their own: another package may bring the real ones."""
    file = descriptor_pb2.FileDescriptorProto(
        name="config.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in _FIELDS.items():
        added = file.message_type.add(name=name)
        for number, (field_name, kind) in enumerate(fields, 1):
            label = _Field.LABEL_REPEATED if field_name in _REPEATED else _Field.LABEL_OPTIONAL
            field = added.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                full_name = kind if "." in kind else f"{_PACKAGE}.{kind}"
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".{full_name}"
            else:
                field.type = kind  # type: ignore[assignment]
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _FIELDS
    }


_MESSAGES = _messages()
