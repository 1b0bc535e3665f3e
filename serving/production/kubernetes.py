"""The objects of Kubernetes, for version 1.27 and later: servers, their addresses, their number."""

import hashlib
import math
from typing import Any

from serving.production import model_server
from serving.production.config import ProductionConfig

_GRPC = "grpc"
_REST = "rest"
_PROBE_SECONDS = 5  # between two probes
_CONFINED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def manifests(config: ProductionConfig) -> dict[str, dict[str, Any]]:
    """Return each object by the name of its file."""
    return {
        "configmap.yaml": _config_map(config),
        "deployment.yaml": _deployment(config),
        "service.yaml": _service(config),
        "service-headless.yaml": _headless_service(config),
        "horizontalpodautoscaler.yaml": _horizontal_pod_autoscaler(config),
        "poddisruptionbudget.yaml": _pod_disruption_budget(config),
    }


def _name(config: ProductionConfig) -> str:
    return f"{config.model_name}-serving"


def _selector(config: ProductionConfig) -> dict[str, str]:
    return {"app.kubernetes.io/name": "tensorflow-serving", "app.kubernetes.io/instance": _name(config)}


def _metadata(config: ProductionConfig, suffix: str = "") -> dict[str, Any]:
    return {
        "name": f"{_name(config)}{suffix}",
        "namespace": config.namespace,
        "labels": _selector(config),
    }


def _config_map(config: ProductionConfig) -> dict[str, Any]:
    # Not models.config: it lies in the serving folder, where a promotion or rollback changes it.
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(config),
        "data": model_server.mounted_files(config),
    }


def _deployment(config: ProductionConfig) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(config),
        # No `replicas`: the HorizontalPodAutoscaler sets them, and applying this again must not.
        "spec": {
            "selector": {"matchLabels": _selector(config)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": _selector(config), "annotations": _annotations(config)},
                "spec": _pod(config),
            },
        },
    }


def _annotations(config: ProductionConfig) -> dict[str, str]:
    files = repr(sorted(model_server.mounted_files(config).items()))
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(config.rest_api_port),
        "prometheus.io/path": model_server.METRICS_PATH,
        # The server reads these files once: a change must roll the Deployment.
        "checksum/config": hashlib.sha256(files.encode()).hexdigest(),
    }


def _pod(config: ProductionConfig) -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        # As process 1 the server would ignore SIGTERM and sit out the grace period
        # (github.com/tensorflow/serving/issues/1853).
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": config.drain_seconds + 10,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": model_server.USER,
            "runAsGroup": model_server.USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _selector(config)},
            }
        ],
        "containers": [_container(config), _follower(config)],
        "volumes": [
            {
                "name": "serving",
                "persistentVolumeClaim": {"claimName": config.volume_claim, "readOnly": True},
            },
            {"name": "config", "configMap": {"name": _name(config)}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }


def _container(config: ProductionConfig) -> dict[str, Any]:
    # The port opens once a version is loaded and warm, so that each probe asks for a server that can answer.
    probe = {"grpc": {"port": config.port}, "periodSeconds": _PROBE_SECONDS, "timeoutSeconds": 3}
    return {
        "name": "tensorflow-serving",
        "image": config.pinned_image,
        "command": [model_server.COMMAND],
        "args": model_server.arguments(config),
        "ports": [
            {"name": _GRPC, "containerPort": config.port},
            {"name": _REST, "containerPort": config.rest_api_port},
        ],
        "resources": {
            "requests": {"cpu": _millicores(config.cpu_request), "memory": f"{config.memory_request}Mi"},
            "limits": {"cpu": _millicores(config.cpu_limit), "memory": f"{config.memory_limit}Mi"},
        },
        "securityContext": _CONFINED,
        "startupProbe": {**probe, "failureThreshold": math.ceil(config.startup_seconds / _PROBE_SECONDS)},
        "readinessProbe": {**probe, "failureThreshold": 2},
        "livenessProbe": {**probe, "failureThreshold": 6},
        # SIGTERM ends the server at once: this is when it drains, out of the Service but still answering.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(config.drain_seconds)]}}},
        "volumeMounts": [
            _serving_mount(config),
            {"name": "config", "mountPath": str(model_server.CONFIG_FOLDER), "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def _follower(config: ProductionConfig) -> dict[str, Any]:
    # Beside each server: only it can tell when this one has loaded a version.
    limits = {"cpu": _millicores(model_server.FOLLOWER_CPU), "memory": f"{model_server.FOLLOWER_MEMORY}Mi"}
    return {
        "name": "follower",
        "image": config.follower_image,
        "command": model_server.follower_command(config, "localhost"),
        "resources": {"requests": {**limits, "cpu": "20m"}, "limits": limits},
        "securityContext": _CONFINED,
        "volumeMounts": [_serving_mount(config)],
    }


def _serving_mount(config: ProductionConfig) -> dict[str, Any]:
    return {"name": "serving", "mountPath": str(config.serving_folder), "readOnly": True}


def _service(config: ProductionConfig) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(config),
        "spec": {"selector": _selector(config), "ports": _service_ports(config)},
    }


def _headless_service(config: ProductionConfig) -> dict[str, Any]:
    # The Service balances connections, and a gRPC client keeps to one. Here a client finds the address of
    # every server and balances its requests (load_balancing_policy "round_robin").
    headless = _service(config)
    headless["metadata"] = _metadata(config, "-headless")
    headless["spec"]["clusterIP"] = "None"
    return headless


def _service_ports(config: ProductionConfig) -> list[dict[str, Any]]:
    return [
        {"name": _GRPC, "port": config.port, "targetPort": _GRPC},
        {"name": _REST, "port": config.rest_api_port, "targetPort": _REST},
    ]


def _horizontal_pod_autoscaler(config: ProductionConfig) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(config),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": _name(config)},
            "minReplicas": config.min_replicas,
            "maxReplicas": config.max_replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {
                            "type": "Utilization",
                            "averageUtilization": config.target_cpu_utilization,
                        },
                    },
                }
            ],
        },
    }


def _pod_disruption_budget(config: ProductionConfig) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(config),
        "spec": {
            "maxUnavailable": config.max_unavailable,
            "selector": {"matchLabels": _selector(config)},
        },
    }


def _millicores(cores: float) -> str:
    return f"{round(cores * 1000)}m"
