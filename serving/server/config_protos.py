"""Messages of TensorFlow Serving's configuration files that tensorflow-serving-api does not hold.

Their fields are those of https://github.com/tensorflow/serving/tree/master/tensorflow_serving/config.
"""

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, text_format

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
}
_PACKAGE = "tensorflow.serving"

_METRICS_PATH = "/monitoring/prometheus/metrics"


def read_monitoring_config(path: str | Path) -> str | None:
    """Read a `--monitoring_config_file`.

    Returns:
        The path of the metrics on the REST port, or None if they are not enabled.

    Raises:
        InvalidRequest: The file is not there, or no MonitoringConfig in protobuf's text format.
    """
    config = _read(path, "MonitoringConfig", "monitoring").prometheus_config
    return (config.path or _METRICS_PATH) if config.enable else None


def read_ssl_config(path: str | Path) -> Any:
    """Read a `--ssl_config_file`.

    Returns:
        An SSLConfig, whose strings are PEM texts.

    Raises:
        InvalidRequest: The file is not there, no SSLConfig in protobuf's text format, or lacks a text.
    """
    config = _read(path, "SSLConfig", "SSL")
    for name, wanted in (("server_key", True), ("server_cert", True), ("custom_ca", config.client_verify)):
        if wanted and not getattr(config, name):
            raise errors.InvalidRequest(f"{path} is no SSL config file: `{name}` is missing")
    return config


def _read(path: str | Path, name: str, kind: str) -> Any:
    try:
        text = Path(path).read_text(encoding="utf-8")
        return text_format.Parse(text, _MESSAGES[name]())
    except (OSError, text_format.ParseError, UnicodeDecodeError) as error:
        raise errors.InvalidRequest(f"{path} is no {kind} config file: {error}") from error


def _messages() -> dict[str, type[message.Message]]:
    """Return the classes of `_FIELDS`, in a pool of their own: another package may bring the real ones."""
    file = descriptor_pb2.FileDescriptorProto(name="config.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _FIELDS.items():
        added = file.message_type.add(name=name)
        for number, (field_name, kind) in enumerate(fields, 1):
            field = added.field.add(name=field_name, number=number, label=_Field.LABEL_OPTIONAL)
            if isinstance(kind, str):
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = kind  # type: ignore[assignment]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _FIELDS
    }


_MESSAGES = _messages()
