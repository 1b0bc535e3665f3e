"""The pipeline package: the graph as Kubeflow Pipelines and Vertex AI read it.

TFX compiles the graph. What it cannot say is added here: the project's entry point and the drivers, what each
task gets, and which values a run may choose.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from tfx.dsl.components.base import base_component, base_driver
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
    KubeflowV2DagRunner,
    KubeflowV2DagRunnerConfig,
)
from tfx.utils import name_utils

from components.data_gate.executor import ACCEPT_DATA
from components.ratings_example_gen.config import RUN_PROPERTIES
from pipeline.beam_profiles import BeamProfile
from pipeline.config import KubeflowConfig, PipelineConfig, TaskConfig
from pipeline.graph import create_pipeline
from pipeline.kubeflow.manifests import STORE_SECRET, STORE_VARIABLES

ENTRYPOINT = ("python", "-m", "pipeline.kubeflow.entrypoint")
DRIVER = ("python", "-m", "pipeline.kubeflow.driver")

# What a run may choose, and the parameters of nodes that it goes to. The value in the configuration is what
# a run gets that chooses none.
FOLDERS = {
    "data_folder": (("RatingsExampleGen", "input_base"),),
    "serving_folder": (
        ("ServedModel", "serving_dir"),
        ("DataGate", "serving_dir"),
        ("Pusher", "serving_dir"),
    ),
}
DATA = {ACCEPT_DATA: (("DataGate", ACCEPT_DATA),)}
DAYS = {name: (("RatingsExampleGen", name), ("ModelReport", name)) for name in RUN_PROPERTIES}

_READS_RATINGS = "RatingsExampleGen"
_LEGAL_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_PARAMETER_TYPES = {bool: "BOOLEAN", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", str: "STRING"}
_BACKOFF = {"backoffDuration": "30s", "backoffFactor": 2.0, "backoffMaxDuration": "600s"}
_INPUTS_SPEC = "--json_serialized_inputs_spec_args"

Json = dict[str, Any]


def compile_package(config: PipelineConfig, kubeflow: KubeflowConfig) -> list[Json]:
    """Return the documents of a package: the pipeline specification 2.1, and what is Kubernetes' own.

    Args:
      config: what to run; its paths are those that the containers see.
      kubeflow: what each task gets, and where it runs.

    Raises:
      ValueError: the pipeline's name is not legal, Beam is to work outside the tasks' containers on
        what its workers cannot open,
        `kubeflow.tasks` names no node of the graph, or one that reads outside the graph is to be cached.
    """
    if not _LEGAL_NAME.fullmatch(config.name):
        raise ValueError(
            f"the pipeline's name must be lower-case letters, digits and hyphens, got {config.name!r}; "
            f"rename the dataset {config.dataset!r}"
        )
    if config.beam.profile is not BeamProfile.LOCAL:
        for name, address in (("data", str(config.data_folder)), ("pipeline-root", kubeflow.pipeline_root)):
            if not address.startswith("gs://"):
                raise ValueError(
                    f"--beam {config.beam.profile} has workers outside the tasks' containers, which open "
                    f"gs:// addresses alone: give one as --{name}, got {address!r}"
                )
    graph = create_pipeline(config)
    unknown = sorted(kubeflow.tasks.keys() - {node.id for node in graph.components})
    if unknown:
        raise ValueError(f"`tasks` names no node of the graph: {', '.join(unknown)}")
    runner = KubeflowV2DagRunner(
        KubeflowV2DagRunnerConfig(
            default_image=kubeflow.image, default_commands=list(ENTRYPOINT), use_pipeline_spec_2_1=True
        )
    )
    spec = runner.run(graph, write_out=False)["pipelineSpec"]
    platform: Json = {}
    for node in graph.components:
        task_config = kubeflow.tasks.get(node.id, kubeflow.task)
        task = spec["root"]["dag"]["tasks"][node.id]
        component = spec["components"][node.id]
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        _give_paths(container, component)
        if _reads_outside(node):
            if task_config.cache:
                raise ValueError(
                    f"`cache` must be False for {node.id}, which reads what is outside the graph"
                )
            _give_booleans(task, component, node)
            _give_driver(container, node)
        container["resources"] = _resources(task_config, kubeflow.gpu_type)
        task["retryPolicy"] = {"maxRetryCount": task_config.retries, **_BACKOFF}
        task["cachingOptions"] = {"enableCache": task_config.cache}
        pod = _kubernetes(task_config, kubeflow.volumes)
        if node.id == _READS_RATINGS and str(config.data_folder).startswith("s3://"):
            pod["secretAsEnv"] = [_store_secret()]
        platform[component["executorLabel"]] = pod
    _give_parameters(spec, FOLDERS | DATA | (DAYS if config.example_gen.spans else {}))
    if config.example_gen.spans:
        # No package has a date: a run that chooses none would train on an old day.
        del spec["root"]["inputDefinitions"]["parameters"]["run_date"]["defaultValue"]
    if kubeflow.pipeline_root:
        spec["defaultPipelineRoot"] = kubeflow.pipeline_root
    return [spec, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": platform}}}}]


def write_package(path: Path, documents: list[Json]) -> None:
    """Write a package, whole or not at all.

    Raises:
      ValueError: the name does not end as Kubeflow Pipelines' client asks.
      OSError: it cannot be written.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"the package's name must end in .yaml, got {path}")
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(yaml.safe_dump_all(documents, sort_keys=True, width=1000), encoding="utf-8")
    os.replace(partial, path)


def _reads_outside(node: base_component.BaseComponent) -> bool:
    """Return whether a node has a driver of its own."""
    return node.DRIVER_CLASS is not base_driver.BaseDriver


def _give_paths(container: Json, component: Json) -> None:
    """Tell the entry point where a back end that copies files puts the artifacts."""
    for side, flag in (("input", "--input_path"), ("output", "--output_path")):
        # Sorted, for the back end's cache: TFX's order differs from one process to the next.
        for name in sorted(component.get(f"{side}Definitions", {}).get("artifacts", {})):
            container["args"] += [flag, f"{name}={{{{$.{side}s.artifacts['{name}'].path}}}}"]


def _give_booleans(task: Json, component: Json, node: base_component.BaseComponent) -> None:
    """Let what is true or false be so to the people who choose it: TFX makes a number of it."""
    for name, parameter in node.spec.PARAMETERS.items():
        if parameter.type is bool:
            component["inputDefinitions"]["parameters"][name] = {"parameterType": _PARAMETER_TYPES[bool]}
            given = task["inputs"]["parameters"][name]["runtimeValue"]
            given["constant"] = bool(given["constant"])


def _give_driver(container: Json, node: base_component.BaseComponent) -> None:
    """Name the driver for both that may run it, with the types of the parameters that it sets."""
    position = container["args"].index(_INPUTS_SPEC) + 1
    inputs_spec = json.loads(container["args"][position])
    for name, parameter in node.spec.PARAMETERS.items():
        inputs_spec["parameters"][name] = {"parameterType": _PARAMETER_TYPES[parameter.type]}
    text = json.dumps(inputs_spec, sort_keys=True)
    container["args"][position] = text
    path = ["--driver_class_path", name_utils.get_full_name(node.DRIVER_CLASS)]
    container["args"] += path
    container["lifecycle"] = {
        "preCacheCheck": {
            "command": list(DRIVER),
            "args": ["--json_serialized_invocation_args", "{{$}}", _INPUTS_SPEC, text, *path],
        }
    }


def _resources(config: TaskConfig, gpu_type: str) -> Json:
    """Return the limits of a container, in the form of each release of Kubeflow Pipelines 2."""
    resources: Json = {
        "cpuLimit": config.cpu,
        "resourceCpuLimit": f"{config.cpu:g}",
        "memoryLimit": config.memory_gb,
        "resourceMemoryLimit": f"{config.memory_gb:g}G",
    }
    if config.gpus:
        resources["accelerator"] = {
            "type": gpu_type,
            "resourceType": gpu_type,
            "count": str(config.gpus),
            "resourceCount": str(config.gpus),
        }
    return resources


def _kubernetes(config: TaskConfig, volumes: Mapping[str, str]) -> Json:
    """Return what the pod of a task gets beside its container."""
    return {
        "activeDeadlineSeconds": str(config.timeout_seconds),
        "pvcMount": [
            # `constant` is for releases before 2.5.
            {"constant": claim, "pvcNameParameter": {"runtimeValue": {"constant": claim}}, "mountPath": path}
            for claim, path in sorted(volumes.items())
        ],
    }


def _store_secret() -> Json:
    """Return the environment that a client of the object store needs."""
    return {
        # `secretName` is for releases before 2.5.
        "secretName": STORE_SECRET,
        "secretNameParameter": {"runtimeValue": {"constant": STORE_SECRET}},
        "keyToEnv": [{"secretKey": key, "envVar": name} for key, name in STORE_VARIABLES.items()],
    }


def _give_parameters(spec: Json, parameters: Mapping[str, tuple[tuple[str, str], ...]]) -> None:
    """Make parameters of the pipeline out of constants of its nodes."""
    definitions = spec["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {})
    for parameter, places in parameters.items():
        for node, name in places:
            given = spec["root"]["dag"]["tasks"][node]["inputs"]["parameters"]
            definitions[parameter] = {
                **spec["components"][node]["inputDefinitions"]["parameters"][name],
                "defaultValue": given[name]["runtimeValue"]["constant"],
            }
            given[name] = {"componentInputParameter": parameter}
