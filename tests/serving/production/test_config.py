import dataclasses
from pathlib import PurePosixPath

import pytest

from serving.production.config import BatchingConfig, ProductionConfig


def test_the_defaults_are_a_valid_configuration():
    config = ProductionConfig(serving_folder=PurePosixPath("/srv/serving"), follower_image="deepfm:1.0")
    assert config.base_path == PurePosixPath("/srv/serving/deepfm")
    assert config.pinned_image == "tensorflow/serving:2.20.0"
    assert (config.port, config.rest_api_port) == (8500, 8501)
    assert config.batching is None


def test_a_digest_pins_the_image(config):
    assert config.pinned_image == f"tensorflow/serving:2.20.0@sha256:{'0123456789abcdef' * 4}"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("cpu_limit", 0.25, r"`cpu_limit` must be at least `cpu_request` \(0.5\), got 0.25"),
        ("memory_limit", 600, r"`memory_limit` must be at least `memory_request` \(700\), got 600"),
        ("max_replicas", 2, r"`max_replicas` must be at least `min_replicas` \(3\), got 2"),
        ("cpu_request", 0, "`cpu_request` must be at least 0.001, got 0"),
        ("cpu_request", float("nan"), "`cpu_request` must be at least 0.001, got nan"),
        ("memory_request", 0, "`memory_request` must be at least 1, got 0"),
        ("min_replicas", 1, "`min_replicas` must be at least 2, got 1"),
        ("max_unavailable", 0, "`max_unavailable` must be from 1 to 2, got 0"),
        ("max_unavailable", 3, "`max_unavailable` must be from 1 to 2, got 3"),
        ("target_cpu_utilization", 0, "`target_cpu_utilization` must be from 1 to 300, got 0"),
        ("target_cpu_utilization", 301, "`target_cpu_utilization` must be from 1 to 300, got 301"),
        ("file_system_poll_wait_seconds", 0, "`file_system_poll_wait_seconds` must be at least 1, got 0"),
        ("startup_seconds", 4, "`startup_seconds` must be at least 5, got 4"),
        ("drain_seconds", 7, "`drain_seconds` must be at least 8, got 7"),
        ("port", 80, "`port` must be from 1024 to 65535, got 80"),
        ("rest_api_port", 65536, "`rest_api_port` must be from 1024 to 65535, got 65536"),
        ("rest_api_port", 9500, "`rest_api_port` must be different than `port`, got 9500 for both"),
        (
            "serving_folder",
            PurePosixPath("serving"),
            "`serving_folder` must be an absolute path .* 'serving'",
        ),
        (
            "serving_folder",
            PurePosixPath("/a/../b"),
            "`serving_folder` must be an absolute path .* '/a/../b'",
        ),
        (
            "serving_folder",
            PurePosixPath("/$HOME"),
            r"`serving_folder` must be an absolute path .* '/\$HOME'",
        ),
        ("model_name", "DeepFM", "`model_name` must be a DNS label of at most 40 characters, got 'DeepFM'"),
        ("model_name", "d" * 41, "`model_name` must be a DNS label of at most 40 characters, got 'd+'"),
        ("namespace", "a_b", "`namespace` must be a DNS label of at most 63 characters, got 'a_b'"),
        ("volume_claim", "", "`volume_claim` must be a DNS label of at most 63 characters, got ''"),
        (
            "image",
            "tensorflow/serving",
            "`image` must have a tag other than latest, got 'tensorflow/serving'",
        ),
        ("follower_image", "deepfm", "`follower_image` must have a tag other than latest, got 'deepfm'"),
        ("image", "localhost:5000/serving", "`image` must have a tag other than latest"),
        ("image", "tensorflow/serving:latest", "`image` must have a tag other than latest"),
        (
            "image_digest",
            "sha256:12",
            "`image_digest` must be sha256: and 64 hexadecimal digits, got 'sha256:12'",
        ),
        ("stable", -1, "`stable` must not be negative, got -1"),
        ("stable", None, "`canary` needs a `stable` version beside it, got 13 alone"),
        ("canary", 12, "`canary` must be another version than `stable`, got 12 for both"),
    ],
)
def test_a_wrong_field_is_refused_by_name(config, field, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, **{field: value})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_batch_size": 0}, "`max_batch_size` must be at least 1, got 0"),
        ({"batch_timeout_micros": -1}, "`batch_timeout_micros` must be at least 0, got -1"),
        ({"num_batch_threads": 0}, "`num_batch_threads` must be at least 1, got 0"),
        ({"max_enqueued_batches": 0}, "`max_enqueued_batches` must be at least 1, got 0"),
        ({"allowed_batch_sizes": (32, 64)}, r"`max_batch_size` \(1024\), got \(32, 64\)"),
        ({"allowed_batch_sizes": (64, 32, 1024)}, "`allowed_batch_sizes` must be positive and rise"),
        ({"allowed_batch_sizes": (32, 32, 1024)}, "`allowed_batch_sizes` must be positive and rise"),
        ({"allowed_batch_sizes": (0, 1024)}, "`allowed_batch_sizes` must be positive and rise"),
    ],
)
def test_wrong_batching_is_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        BatchingConfig(**fields)
