"""What the cluster needs beside Kubeflow Pipelines: an account, volumes, and the key to an object store."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import yaml

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_QUANTITY = re.compile(r"[1-9][0-9]*(Mi|Gi|Ti)")
_ACCESS_KEY, _SECRET_KEY = "accesskey", "secretkey"

STORE_SECRET = "deepfm-store"
STORE_VARIABLES = {
    _ACCESS_KEY: "AWS_ACCESS_KEY_ID",
    _SECRET_KEY: "AWS_SECRET_ACCESS_KEY",
    "endpoint": "AWS_ENDPOINT_URL",
    "region": "AWS_DEFAULT_REGION",
}
"""What a client of the store reads from its environment, by key of the secret."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """An object store that speaks S3: what s3:// means, of the ratings and of the artifacts."""

    endpoint: str  # host, or host:port
    access_key: str
    secret_key: str = dataclasses.field(repr=False)
    region: str = "us-east-1"
    tls: bool = True
    pipeline_root: str = ""  # s3:// or minio:// address of the artifacts of runs that name none

    def __post_init__(self) -> None:
        if self.pipeline_root and not self.pipeline_root.startswith(("s3://", "minio://")):
            raise ValueError(f"`pipeline_root` must begin with s3:// or minio://, got {self.pipeline_root!r}")
        if "://" in self.endpoint or not self.endpoint:
            raise ValueError(f"`endpoint` must be a host or host:port, got {self.endpoint!r}")
        for name in ("access_key", "secret_key"):
            if not getattr(self, name):
                raise ValueError(f"`{name}` must not be empty")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """What the pods of the pipeline run as and write to."""

    namespace: str = "kubeflow"  # where the runs' pods are
    service_account: str = "deepfm"  # `--service-account` of the runs
    volumes: Mapping[str, str] = dataclasses.field(default_factory=dict)  # size by claim's name, as 20Gi
    storage_class: str | None = None  # of the volumes; None for the cluster's default
    store: StoreConfig | None = None  # beside the one that Kubeflow Pipelines ships

    def __post_init__(self) -> None:
        for name in ("namespace", "service_account", "storage_class"):
            value = getattr(self, name)
            if value is not None and not _LABEL.fullmatch(value):
                raise ValueError(f"`{name}` must be a DNS label, got {value!r}")
        for claim, size in self.volumes.items():
            if not _LABEL.fullmatch(claim) or not _QUANTITY.fullmatch(size):
                raise ValueError(
                    f"`volumes` must map a claim, a DNS label, to a size like 20Gi, got {claim!r}: {size!r}"
                )


def manifests(config: ClusterConfig) -> list[dict[str, Any]]:
    """Return the objects, for Kubernetes 1.27 and later."""
    objects = [_service_account(config), _role_binding(config)]
    objects += [_claim(config, name, size) for name, size in sorted(config.volumes.items())]
    if config.store:
        objects += [_secret(config, config.store), _launcher_config(config, config.store)]
    return objects


def _metadata(config: ClusterConfig, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": config.namespace,
        "labels": {"app.kubernetes.io/name": "deepfm"},
    }


def _service_account(config: ClusterConfig) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(config, config.service_account),
    }


def _role_binding(config: ClusterConfig) -> dict[str, Any]:
    # Of the installation: what its driver, launcher and Argo's executor ask of Kubernetes in a task's pod.
    role = "pipeline-runner"
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": _metadata(config, f"{config.service_account}-{role}"),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
        "subjects": [
            {"kind": "ServiceAccount", "name": config.service_account, "namespace": config.namespace}
        ],
    }


def _claim(config: ClusterConfig, name: str, size: str) -> dict[str, Any]:
    spec: dict[str, Any] = {
        # Tasks of a run lie on several nodes, and the servers read what they push.
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": size}},
    }
    if config.storage_class is not None:
        spec["storageClassName"] = config.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(config, name),
        "spec": spec,
    }


def _secret(config: ClusterConfig, store: StoreConfig) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(config, STORE_SECRET),
        "type": "Opaque",
        "stringData": {
            _ACCESS_KEY: store.access_key,
            _SECRET_KEY: store.secret_key,
            "endpoint": f"{'https' if store.tls else 'http'}://{store.endpoint}",
            "region": store.region,
        },
    }


def _launcher_config(config: ClusterConfig, store: StoreConfig) -> dict[str, Any]:
    # The driver and the launcher of each task read it by this name
    # (https://kubeflow.org/docs/components/pipelines/operator-guides/configure-object-store).
    provider = {
        "default": {
            "endpoint": store.endpoint,
            "region": store.region,
            "disableSSL": not store.tls,
            "forcePathStyle": True,
            "credentials": {
                "fromEnv": False,
                "secretRef": {
                    "secretName": STORE_SECRET,
                    "accessKeyKey": _ACCESS_KEY,
                    "secretKeyKey": _SECRET_KEY,
                },
            },
        }
    }
    schemes = {"s3", store.pipeline_root.partition("://")[0]} - {""}
    data = {"providers": yaml.safe_dump(dict.fromkeys(sorted(schemes), provider), sort_keys=False)}
    if store.pipeline_root:
        data["defaultPipelineRoot"] = store.pipeline_root
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(config, "kfp-launcher"),
        "data": data,
    }
