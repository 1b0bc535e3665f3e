"""The flags, and the text protos, read back as the server reads them."""

import dataclasses

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.production import model_server

# Those of tensorflow_serving/model_servers/main.cc.
FLAGS = {
    "port",
    "grpc_socket_path",
    "rest_api_port",
    "rest_api_num_threads",
    "rest_api_timeout_in_ms",
    "rest_api_enable_cors_support",
    "enable_batching",
    "allow_version_labels_for_unavailable_models",
    "batching_parameters_file",
    "enable_per_model_batching_parameters",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "model_name",
    "model_base_path",
    "num_load_threads",
    "num_unload_threads",
    "max_num_load_retries",
    "load_retry_interval_micros",
    "file_system_poll_wait_seconds",
    "flush_filesystem_caches",
    "tensorflow_session_parallelism",
    "tensorflow_session_config_file",
    "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism",
    "use_alts_credentials",
    "ssl_config_file",
    "platform_config_file",
    "per_process_gpu_memory_fraction",
    "saved_model_tags",
    "grpc_channel_arguments",
    "grpc_max_threads",
    "enable_model_warmup",
    "num_request_iterations_for_warmup",
    "version",
    "monitoring_config_file",
    "remove_unused_fields_from_bundle_metagraph",
    "prefer_tflite_model",
    "num_tflite_pools",
    "num_tflite_interpreters_per_pool",
    "enable_signature_method_name_check",
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
    "enable_profiler",
    "thread_pool_factory_config_file",
    "mixed_precision",
    "skip_initialize_tpu",
    "enable_grpc_healthcheck_service",
    "enable_serialization_as_tensor_content",
}


def _messages():
    """Return BatchingParameters and MonitoringConfig with the fields that TensorFlow Serving gives them.

    tensorflow-serving-api has neither session_bundle_config.proto nor monitoring_config.proto.
    """
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="production_test.proto",
        package="production_test",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )

    def message(name, *fields):
        added = file.message_type.add(name=name)
        for number, (field_name, kind, repeated) in enumerate(fields, 1):
            label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            entry = added.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                entry.type, entry.type_name = field.TYPE_MESSAGE, kind
            else:
                entry.type = kind

    int64, string = ".google.protobuf.Int64Value", ".google.protobuf.StringValue"
    message(
        "BatchingParameters",
        ("max_batch_size", int64, False),
        ("batch_timeout_micros", int64, False),
        ("max_enqueued_batches", int64, False),
        ("num_batch_threads", int64, False),
        ("thread_pool_name", string, False),
        ("allowed_batch_sizes", field.TYPE_INT64, True),
        ("pad_variable_length_inputs", field.TYPE_BOOL, False),
    )
    message("PrometheusConfig", ("enable", field.TYPE_BOOL, False), ("path", field.TYPE_STRING, False))
    message("MonitoringConfig", ("prometheus_config", ".production_test.PrometheusConfig", False))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"production_test.{name}"))
        for name in ("BatchingParameters", "MonitoringConfig")
    }


def models(config):
    text = model_server.models_config(config.model_name, config.base_path, config.stable, config.canary)
    server = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = server.model_config_list.config
    return model


def test_models_config_names_the_released_versions(config):
    model = models(config)
    assert (model.name, model.base_path, model.model_platform) == (
        "deepfm",
        "/srv/ml-1m/serving/deepfm",
        "tensorflow",
    )
    assert list(model.model_version_policy.specific.versions) == [12, 13]
    assert dict(model.version_labels) == {"stable": 12, "canary": 13}


def test_models_config_after_a_promotion_has_one_version(config):
    model = models(dataclasses.replace(config, stable=13, canary=None))
    assert list(model.model_version_policy.specific.versions) == [13]
    assert dict(model.version_labels) == {"stable": 13, "canary": 13}


def test_models_config_without_a_release_serves_the_latest(config):
    model = models(dataclasses.replace(config, stable=None, canary=None))
    assert model.model_version_policy.latest.num_versions == 1
    assert not model.model_version_policy.HasField("specific")
    assert dict(model.version_labels) == {}


def test_batching_config(config):
    text = model_server.batching_config(config.batching)
    assert text.splitlines() == [
        "max_batch_size { value: 128 }",
        "batch_timeout_micros { value: 2000 }",
        "num_batch_threads { value: 3 }",
        "max_enqueued_batches { value: 50 }",
        "allowed_batch_sizes: 32",
        "allowed_batch_sizes: 128",
    ]
    read = text_format.Parse(text, _messages()["BatchingParameters"]())
    assert (read.max_batch_size.value, read.batch_timeout_micros.value) == (128, 2000)
    assert (read.num_batch_threads.value, read.max_enqueued_batches.value) == (3, 50)
    assert list(read.allowed_batch_sizes) == [32, 128]


def test_monitoring_config():
    read = text_format.Parse(model_server.monitoring_config(), _messages()["MonitoringConfig"]())
    assert read.prometheus_config.enable is True
    assert read.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_every_argument_is_a_flag_of_tensorflow_serving(config):
    arguments = model_server.arguments(config)
    assert arguments == [
        "--port=9500",
        "--rest_api_port=9501",
        "--model_config_file=/srv/ml-1m/serving/models.config",
        "--file_system_poll_wait_seconds=3",
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_grpc_healthcheck_service=true",
        "--monitoring_config_file=/etc/tensorflow-serving/monitoring.config",
        "--tensorflow_intra_op_parallelism=2",
        "--tensorflow_inter_op_parallelism=2",
        "--grpc_channel_arguments=grpc.max_connection_age_ms=10000,grpc.max_connection_age_grace_ms=10000",
        "--enable_batching=true",
        "--batching_parameters_file=/etc/tensorflow-serving/batching.config",
    ]
    names = [argument.removeprefix("--").split("=")[0] for argument in arguments]
    assert set(names) <= FLAGS
    assert len(names) == len(set(names))


@pytest.mark.parametrize("flag", ["--enable_batching", "--batching_parameters_file"])
def test_without_batching_nothing_speaks_of_it(config, flag):
    plain = dataclasses.replace(config, batching=None)
    assert not [argument for argument in model_server.arguments(plain) if argument.startswith(flag)]
    assert list(model_server.mounted_files(plain)) == ["monitoring.config"]
