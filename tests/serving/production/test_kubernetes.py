"""The objects: against Kubernetes' published schemas, and against each other."""

import dataclasses

import kubernetes_validate
import pytest

from serving.production import model_server
from serving.production.kubernetes import manifests

KINDS = {
    "configmap.yaml": ("v1", "ConfigMap"),
    "deployment.yaml": ("apps/v1", "Deployment"),
    "service.yaml": ("v1", "Service"),
    "service-headless.yaml": ("v1", "Service"),
    "horizontalpodautoscaler.yaml": ("autoscaling/v2", "HorizontalPodAutoscaler"),
    "poddisruptionbudget.yaml": ("policy/v1", "PodDisruptionBudget"),
}


def pod(config):
    return manifests(config)["deployment.yaml"]["spec"]["template"]


def container(config):
    server, _ = pod(config)["spec"]["containers"]
    return server


def follower(config):
    _, beside = pod(config)["spec"]["containers"]
    return beside


@pytest.mark.parametrize("version", ["1.27", kubernetes_validate.latest_version()])
def test_every_object_is_valid_by_the_published_schemas(config, version):
    objects = manifests(config)
    assert {file: (made["apiVersion"], made["kind"]) for file, made in objects.items()} == KINDS
    for made in objects.values():
        assert version.startswith(kubernetes_validate.validate(made, version, strict=True))


def test_the_schemas_find_what_is_wrong(config):
    deployment = manifests(config)["deployment.yaml"]
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(deployment, "1.27", strict=True)


def test_the_objects_find_each_other(config):
    objects = manifests(config)
    labels = pod(config)["metadata"]["labels"]
    assert objects["deployment.yaml"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["service.yaml"]["spec"]["selector"] == labels
    assert objects["service-headless.yaml"]["spec"]["selector"] == labels
    assert objects["poddisruptionbudget.yaml"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["horizontalpodautoscaler.yaml"]["spec"]["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": objects["deployment.yaml"]["metadata"]["name"],
    }
    assert {made["metadata"]["namespace"] for made in objects.values()} == {"recommendations"}
    volumes = {volume["name"]: volume for volume in pod(config)["spec"]["volumes"]}
    assert volumes["config"]["configMap"]["name"] == objects["configmap.yaml"]["metadata"]["name"]
    assert {mount["name"] for mount in container(config)["volumeMounts"]} == set(volumes)


def test_the_pod_meets_the_restricted_pod_security_standard(config):
    # kubernetes.io/docs/concepts/security/pod-security-standards
    assert pod(config)["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for one in (container(config), follower(config)):
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert pod(config)["spec"]["automountServiceAccountToken"] is False


def test_the_serving_folder_is_read_only(config):
    (volume,) = [v for v in pod(config)["spec"]["volumes"] if "persistentVolumeClaim" in v]
    assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    (mount,) = [m for m in container(config)["volumeMounts"] if m["name"] == volume["name"]]
    assert mount == {"name": "serving", "mountPath": "/srv/ml-1m/serving", "readOnly": True}


def test_the_files_are_mounted_where_the_flags_say(config):
    data = manifests(config)["configmap.yaml"]["data"]
    assert data == model_server.mounted_files(config)
    (mount,) = [m for m in container(config)["volumeMounts"] if m["name"] == "config"]
    files = {
        argument.split("=")[1]
        for argument in container(config)["args"]
        if argument.startswith(("--monitoring_config_file=", "--batching_parameters_file="))
    }
    assert files == {f"{mount['mountPath']}/{file}" for file in data}
    # A file mounted by `subPath` would never change.
    assert "subPath" not in mount


def test_the_server_and_its_resources(config):
    assert container(config)["image"] == config.pinned_image
    assert container(config)["command"] == ["tensorflow_model_server"]
    assert container(config)["args"] == model_server.arguments(config)
    assert container(config)["resources"] == {
        "requests": {"cpu": "500m", "memory": "700Mi"},
        "limits": {"cpu": "1500m", "memory": "1500Mi"},
    }


def test_a_follower_beside_each_server_reads_the_same_folder(config):
    assert follower(config)["image"] == "registry.example/deepfm:1.0"
    assert follower(config)["command"] == model_server.follower_command(config, "localhost")
    assert "--target=localhost:9500" in follower(config)["command"]
    assert follower(config)["volumeMounts"] == [
        {"name": "serving", "mountPath": "/srv/ml-1m/serving", "readOnly": True}
    ]
    assert follower(config)["resources"] == {
        "requests": {"cpu": "20m", "memory": "256Mi"},
        "limits": {"cpu": "200m", "memory": "256Mi"},
    }


def test_the_probes_ask_grpc_health(config):
    assert "--enable_grpc_healthcheck_service=true" in container(config)["args"]
    probes = {kind: container(config)[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
    assert {kind: probe["grpc"] for kind, probe in probes.items()} == {
        kind: {"port": 9500} for kind in probes
    }
    assert probes["startup"]["failureThreshold"] * probes["startup"]["periodSeconds"] == 125
    # A busy server leaves the Service long before it is restarted.
    assert probes["readiness"]["failureThreshold"] < probes["liveness"]["failureThreshold"]


def test_a_server_drains_before_it_ends(config):
    assert container(config)["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "40"]
    assert pod(config)["spec"]["terminationGracePeriodSeconds"] == 50
    assert pod(config)["spec"]["shareProcessNamespace"] is True
    assert manifests(config)["deployment.yaml"]["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }


def test_the_number_of_servers(config):
    scaling = manifests(config)["horizontalpodautoscaler.yaml"]["spec"]
    assert (scaling["minReplicas"], scaling["maxReplicas"]) == (3, 9)
    assert scaling["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    assert manifests(config)["poddisruptionbudget.yaml"]["spec"]["maxUnavailable"] == 2
    assert "replicas" not in manifests(config)["deployment.yaml"]["spec"]


def test_the_services_reach_both_ports(config):
    ports = {port["name"]: port["containerPort"] for port in container(config)["ports"]}
    assert ports == {"grpc": 9500, "rest": 9501}
    for file in ("service.yaml", "service-headless.yaml"):
        service = manifests(config)[file]["spec"]["ports"]
        assert {port["targetPort"]: port["port"] for port in service} == ports
    assert "clusterIP" not in manifests(config)["service.yaml"]["spec"]
    assert manifests(config)["service-headless.yaml"]["spec"]["clusterIP"] == "None"


def test_prometheus_finds_the_metrics(config):
    annotations = pod(config)["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true"
    assert annotations["prometheus.io/port"] == "9501"
    assert annotations["prometheus.io/path"] in model_server.monitoring_config()


def test_a_new_batching_rolls_the_servers_and_a_release_does_not(config):
    release = dataclasses.replace(config, stable=13, canary=None)
    assert pod(release) == pod(config)
    batching = dataclasses.replace(config.batching, batch_timeout_micros=1)
    assert pod(dataclasses.replace(config, batching=batching)) != pod(config)
