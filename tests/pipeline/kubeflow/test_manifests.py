"""The objects: against Kubernetes' published schemas, and against each other and the package."""

import dataclasses

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from pipeline import cli
from pipeline.config import KubeflowConfig
from pipeline.kubeflow.manifests import ClusterConfig, StoreConfig, manifests
from pipeline.kubeflow.package import compile_package

STORE = StoreConfig(
    pipeline_root="s3://bucket/deepfm",
    access_key="key",
    secret_key="secret",
    endpoint="store.example:9000",
    tls=False,
)
CONFIG = ClusterConfig(
    namespace="recommendations", volumes={"deepfm": "20Gi", "data": "500Mi"}, storage_class="nfs", store=STORE
)


def by_kind(config):
    return {made["kind"]: made for made in manifests(config)}


@pytest.mark.parametrize("version", ["1.27", kubernetes_validate.latest_version()])
def test_every_object_is_valid_by_the_published_schemas(version):
    objects = manifests(CONFIG)
    assert [(made["kind"], made["metadata"]["name"]) for made in objects] == [
        ("ServiceAccount", "deepfm"),
        ("RoleBinding", "deepfm-pipeline-runner"),
        ("PersistentVolumeClaim", "data"),
        ("PersistentVolumeClaim", "deepfm"),
        ("Secret", "deepfm-store"),
        ("ConfigMap", "kfp-launcher"),
    ]
    for made in objects:
        assert version.startswith(kubernetes_validate.validate(made, version, strict=True))
        assert made["metadata"]["namespace"] == "recommendations"


def test_the_account_may_do_what_a_task_s_pod_does():
    binding = by_kind(CONFIG)["RoleBinding"]
    assert binding["roleRef"]["name"] == "pipeline-runner"
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "deepfm", "namespace": "recommendations"}
    ]


def test_the_claims_are_those_that_a_package_mounts(config):
    claims = {
        m["metadata"]["name"]: m["spec"] for m in manifests(CONFIG) if m["kind"] == "PersistentVolumeClaim"
    }
    assert claims["deepfm"] == {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "20Gi"}},
        "storageClassName": "nfs",
    }
    _, platform = compile_package(config, KubeflowConfig(image="deepfm:1", volumes={"deepfm": "/mnt"}))
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert {mount["constant"] for e in executors.values() for mount in e["pvcMount"]} <= claims.keys()


def test_the_launcher_finds_the_store_and_its_key():
    objects = by_kind(CONFIG)
    data = objects["ConfigMap"]["data"]
    assert data["defaultPipelineRoot"] == "s3://bucket/deepfm"
    provider = yaml.safe_load(data["providers"])["s3"]["default"]
    credentials = provider.pop("credentials")
    assert provider == {
        "endpoint": "store.example:9000",
        "region": "us-east-1",
        "disableSSL": True,
        "forcePathStyle": True,
    }
    reference = credentials["secretRef"]
    assert reference["secretName"] == objects["Secret"]["metadata"]["name"]
    kept = objects["Secret"]["stringData"]
    assert (kept[reference["accessKeyKey"]], kept[reference["secretKeyKey"]]) == ("key", "secret")
    assert (kept["endpoint"], kept["region"]) == ("http://store.example:9000", "us-east-1")
    assert "secret'" not in repr(STORE)


def test_what_a_run_names_in_s3_has_its_key_without_a_root_for_all():
    """Of ratings, and of artifacts whose address is the package's or the run's."""
    objects = by_kind(dataclasses.replace(CONFIG, store=dataclasses.replace(STORE, pipeline_root="")))
    assert objects["Secret"] == by_kind(CONFIG)["Secret"]
    data = by_kind(CONFIG)["ConfigMap"]["data"]
    assert objects["ConfigMap"]["data"] == {"providers": data["providers"]}
    minio = dataclasses.replace(CONFIG, store=dataclasses.replace(STORE, pipeline_root="minio://bucket"))
    providers = yaml.safe_load(by_kind(minio)["ConfigMap"]["data"]["providers"])
    assert providers["minio"] == providers["s3"] == yaml.safe_load(data["providers"])["s3"]


def test_without_a_store_of_its_own_there_is_no_secret():
    assert set(by_kind(ClusterConfig())) == {"ServiceAccount", "RoleBinding"}


def test_the_command_prints_what_kubectl_applies(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    line = (
        "manifests --namespace recommendations --volume deepfm:20Gi --volume data:500Mi --storage-class nfs "
        "--pipeline-root s3://bucket/deepfm --endpoint store.example:9000 --no-tls"
    )
    done = CliRunner().invoke(cli.app, line.split())
    assert done.exit_code == 0
    assert list(yaml.safe_load_all(done.output)) == manifests(CONFIG)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--volume deepfm", "`volumes` must map a claim, a DNS label, to a size like 20Gi, got 'deepfm': ''"),
        ("--volume Deep_fm:1Gi", "got 'Deep_fm': '1Gi'"),
        ("--namespace a.b", "`namespace` must be a DNS label, got 'a.b'"),
        ("--pipeline-root gs://bucket --endpoint a", "must begin with s3:// or minio://, got 'gs://bucket'"),
        ("--endpoint http://a", "`endpoint` must be a host or host:port"),
        ("--pipeline-root s3://bucket", "s3://bucket needs the host of its store: --endpoint, as"),
        ("--endpoint a", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to the key of a"),
    ],
)
def test_a_slip_is_one_sentence(monkeypatch, options, said):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("COLUMNS", "200")
    if "AWS" not in said:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    done = CliRunner().invoke(cli.app, ["manifests", *options.split()])
    assert done.exit_code == 1
    assert said in done.output
    assert len(done.output.splitlines()) == 1
