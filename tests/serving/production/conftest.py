from pathlib import PurePosixPath

import pytest

from serving.production.config import BatchingConfig, ProductionConfig


@pytest.fixture
def config():
    """Every optional part in use, and no number that is a default."""
    return ProductionConfig(
        serving_folder=PurePosixPath("/srv/ml-1m/serving"),
        follower_image="registry.example/deepfm:1.0",
        stable=12,
        canary=13,
        batching=BatchingConfig(
            max_batch_size=128,
            batch_timeout_micros=2000,
            num_batch_threads=3,
            max_enqueued_batches=50,
            allowed_batch_sizes=(32, 128),
        ),
        image_digest=f"sha256:{'0123456789abcdef' * 4}",
        port=9500,
        rest_api_port=9501,
        file_system_poll_wait_seconds=3,
        cpu_request=0.5,
        cpu_limit=1.5,
        memory_request=700,
        memory_limit=1500,
        namespace="recommendations",
        volume_claim="models",
        min_replicas=3,
        max_replicas=9,
        target_cpu_utilization=70,
        max_unavailable=2,
        startup_seconds=121,
        drain_seconds=40,
    )
