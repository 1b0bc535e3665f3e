"""Kubeflow Pipelines in one process, as its source has it, and Vertex AI where that differs.

The open-source back end is a driver, a launcher and Argo Workflows
(https://github.com/kubeflow/pipelines/tree/master/backend/src/v2): `compiler/argocompiler/dag.go` makes a
workflow of the package and refuses a Resolver; `driver/container.go` and `driver/resolve.go` make the
ExecutorInput, evaluate the condition and look into the cache; `component/launcher_v2.go` copies artifacts
into the container and out of it, replaces placeholders and runs the command; `metadata/converter.go` is what
becomes of an artifact in ML Metadata.

Here a folder is the object store and another one, new for each attempt, the container's file system; the
command is the task's own, run by this interpreter in place of the image's. If asked to, it forks the
processes off one that has imported TFX, which takes most of the time of a small task; but for the first one
of each module, which shows that it can do without.
"""

import concurrent.futures
import dataclasses
import graphlib
import hashlib
import itertools
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

PROJECT = Path(__file__).parents[3]
SCHEMES = ("minio", "s3", "gs")
LOGS = "executor-logs"  # an output of each task
_VALUES = {pb.ParameterType.STRING: "string_value", pb.ParameterType.BOOLEAN: "bool_value"}
SUCCEEDED, CACHED, SKIPPED, OMITTED = "succeeded", "cached", "skipped", "omitted"


class RefusedError(Exception):
    """The back end does not take the package or the run."""


class TaskFailedError(Exception):
    """A task failed at each of its attempts; `log` is what the last one printed."""

    def __init__(self, task, attempts, log):
        super().__init__(f"{task} failed after {attempts} attempts: {log[-3000:]}")
        self.task, self.attempts, self.log = task, attempts, log


@dataclasses.dataclass
class Task:
    """What became of a task."""

    state: str
    attempts: int = 0
    log: str = ""
    executor_input: dict = dataclasses.field(default_factory=dict)  # that the container got
    artifacts: dict = dataclasses.field(default_factory=dict)  # RuntimeArtifact by name of the output

    def metadata(self, output):
        return json_format.MessageToDict(self.artifacts[output].metadata)


class OpenSource:
    """The open-source back end; `publish_logs` is its default since release 2.5."""

    def __init__(self, folder, *, publish_logs=True, forked=False):
        self.folder = folder
        self.publish_logs = publish_logs
        self.forked = forked
        self.artifact_ids = itertools.count(1)
        self.cache = {}

    def run(self, package, parameters=None, *, pipeline_root="minio://mlpipeline/v2/artifacts", kill=None):
        """Run a package.

        Args:
          package: its file.
          parameters: values that the run chooses.
          pipeline_root: address in an object store. A plain path stands for a store that TFX itself can open.
          kill: text by name of a task; its first attempt gets a SIGKILL once it has printed the text.

        Returns:
          The tasks by name, in the order of their end.
        """
        documents = list(yaml.safe_load_all(package.read_text()))
        spec = json_format.ParseDict(documents[0], pb.PipelineSpec())
        if spec.schema_version != "2.1.0":
            raise RefusedError(f"schema version {spec.schema_version}")
        executors = json_format.ParseDict(
            documents[0]["deploymentSpec"], pb.PipelineDeploymentConfig()
        ).executors
        platforms = documents[1]["platforms"] if len(documents) > 1 else {}
        kubernetes = platforms.get("kubernetes", {}).get("deploymentSpec", {})
        run = _Run(
            backend=self,
            spec=spec,
            executors=executors,
            kubernetes=kubernetes.get("executors", {}),
            values=self._values(spec, parameters or {}),
            root=f"{pipeline_root}/{spec.pipeline_info.name}/{uuid.uuid4()}",
            kill=kill or {},
        )
        return run.run()

    def _values(self, spec, parameters):
        values = {}
        for name, definition in spec.root.input_definitions.parameters.items():
            if name in parameters:
                values[name] = json_format.ParseDict(parameters[name], type(definition.default_value)())
            elif definition.HasField("default_value"):
                values[name] = definition.default_value
        unknown = parameters.keys() - values.keys()
        if unknown:
            raise RefusedError(f"unknown parameters {sorted(unknown)}")
        return values

    # What Vertex AI does otherwise:

    def check(self, executor):
        """Refuse what cannot be compiled to a workflow."""
        if executor.HasField("resolver"):
            raise RefusedError("resolver executors not implemented")
        if not executor.HasField("container"):
            raise RefusedError("unknown executor spec type")

    def hand_over(self, artifact, artifact_type):
        """Return an artifact of another task as the driver resolves it: without its type."""
        handed = pb.RuntimeArtifact()
        handed.CopyFrom(artifact)
        handed.type.instance_schema = ""
        return handed

    def before_cache(self, run, task, executor_input, container):
        """Do what comes before the look into the cache: nothing, a `preCacheCheck` is ignored."""

    def output_file(self, pod, root, task):
        """Return where a task reports: in its container."""
        return str(pod / "tmp" / "kfp_outputs" / "output_metadata.json")

    # The object store

    def local_path(self, pod, uri):
        """Return where the launcher puts an artifact, LocalPathForURI."""
        scheme, separator, rest = uri.partition("://")
        if not separator:
            return Path(uri)
        if scheme not in SCHEMES:
            raise RefusedError(f"failed to generate local path for URI {uri}: unsupported storage scheme")
        return pod / scheme / rest

    def stored(self, uri):
        scheme, separator, rest = uri.partition("://")
        return self.folder / "store" / scheme / rest if separator else Path(uri)

    def record(self, artifact, name):
        """Return an artifact as it comes back from ML Metadata."""
        metadata = {"display_name": name}
        for key, value in json_format.MessageToDict(artifact.metadata).items():
            if value is None:
                raise RefusedError(f"unknown/unsupported value type of {key}")
            if isinstance(value, bool):
                value = float(value)  # noqa: PLW2901
            elif isinstance(value, list):
                value = {"list": value}  # noqa: PLW2901
            elif isinstance(value, dict):
                value = {"struct": value}  # noqa: PLW2901
            metadata[key] = value
        recorded = pb.RuntimeArtifact(name=str(next(self.artifact_ids)), uri=artifact.uri)
        recorded.metadata.update(metadata)
        return recorded


class Vertex(OpenSource):
    """Vertex AI: hands artifacts over with their types, runs `preCacheCheck`, and lets tasks open addresses.

    A plain path stands for a `gs://` address. A resolver finds nothing, as before a first run.
    """

    def __init__(self, folder, *, forked=False):
        super().__init__(folder, publish_logs=False, forked=forked)

    def check(self, executor):
        """Take resolvers too."""

    def hand_over(self, artifact, artifact_type):
        handed = pb.RuntimeArtifact()
        handed.CopyFrom(artifact)
        handed.type.CopyFrom(artifact_type)
        return handed

    def before_cache(self, run, task, executor_input, container):
        hook = container.lifecycle.pre_cache_check
        if not hook.command:
            return
        pod = run.new_pod(task)
        process = run.start([*hook.command, *hook.args], executor_input, pod)
        if process.wait():
            raise TaskFailedError(f"{task}-driver", 1, (pod / "log").read_text())
        output = json.loads(Path(executor_input.outputs.output_file).read_text())
        for name, value in output.get("parameterValues", {}).items():
            executor_input.inputs.parameter_values[name].CopyFrom(
                json_format.ParseDict(value, type(executor_input.inputs.parameter_values[name])())
            )

    def output_file(self, pod, root, task):
        """Return where a task reports: beside its artifacts."""
        return f"{root}/{task}/executor_output.json"


@dataclasses.dataclass
class _Run:
    backend: OpenSource
    spec: pb.PipelineSpec
    executors: dict
    kubernetes: dict
    values: dict
    root: str
    kill: dict
    tasks: dict = dataclasses.field(default_factory=dict)

    def run(self):
        """Run each task once those that it waits for have ended, two at a time."""
        tasks = self.spec.root.dag.tasks
        for task in tasks.values():
            self.backend.check(self.executors[self._component(task).executor_label])
        order = graphlib.TopologicalSorter({name: self._upstream(task) for name, task in tasks.items()})
        order.prepare()
        running = {}
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            while order.is_active():
                for name in sorted(order.get_ready()):
                    running[pool.submit(self._task_or_none, name, tasks[name])] = name
                ended, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in ended:
                    name = running.pop(future)
                    self.tasks[name] = future.result()
                    order.done(name)
        return self.tasks

    def _component(self, task):
        return self.spec.components[task.component_ref.name]

    def _upstream(self, task):
        """Return the tasks that one waits for: named, and of its inputs (addImplicitDependencies)."""
        return set(task.dependent_tasks) | {
            artifact.task_output_artifact.producer_task for artifact in task.inputs.artifacts.values()
        }

    def _task_or_none(self, name, task):
        if {self.tasks[other].state for other in self._upstream(task)} <= {SUCCEEDED, CACHED}:
            return self._task(name, task)
        return Task(OMITTED)

    def _task(self, name, task):
        component = self._component(task)
        executor = self.executors[component.executor_label]
        if executor.HasField("resolver"):
            return Task(SUCCEEDED)
        container = executor.container
        executor_input = pb.ExecutorInput()
        self._resolve_inputs(executor_input.inputs, task, component)
        if task.trigger_policy.condition and not _holds(task.trigger_policy.condition, executor_input):
            return Task(SKIPPED)
        for output, definition in component.output_definitions.artifacts.items():
            artifact = executor_input.outputs.artifacts[output].artifacts.add()
            artifact.uri = f"{self.root}/{name}/{uuid.uuid4()}/{output}"
            artifact.type.CopyFrom(definition.artifact_type)
            artifact.metadata.CopyFrom(definition.metadata)
        if self.backend.publish_logs:
            log = executor_input.outputs.artifacts[LOGS].artifacts.add()
            log.uri = f"{self.root}/{name}/{uuid.uuid4()}/{LOGS}"
            log.type.schema_title = "system.Artifact"
        executor_input.outputs.output_file = self.backend.output_file(Path(), self.root, name)
        self.backend.before_cache(self, name, executor_input, container)
        key = _cache_key(executor_input, container)
        if task.caching_options.enable_cache and key in self.backend.cache:
            return Task(CACHED, artifacts=self.backend.cache[key])
        result = self._attempts(name, task, component, container, executor_input)
        if task.caching_options.enable_cache:
            self.backend.cache[key] = result.artifacts
        return result

    def _resolve_inputs(self, inputs, task, component):
        definitions = component.input_definitions
        for name, given in task.inputs.parameters.items():
            if given.WhichOneof("kind") == "component_input_parameter":
                if given.component_input_parameter not in self.values:
                    raise RefusedError(
                        f"parent DAG does not have input parameter {given.component_input_parameter}"
                    )
                value = self.values[given.component_input_parameter]
            else:
                value = given.runtime_value.constant
            kind = definitions.parameters[name].parameter_type
            expected = _VALUES.get(kind, "number_value")
            if value.WhichOneof("kind") != expected:
                raise RefusedError(f"input parameter {name} type mismatch")
            inputs.parameter_values[name].CopyFrom(value)
        for name, given in task.inputs.artifacts.items():
            producer = self.tasks[given.task_output_artifact.producer_task]
            artifact = producer.artifacts[given.task_output_artifact.output_artifact_key]
            inputs.artifacts[name].artifacts.append(
                self.backend.hand_over(artifact, definitions.artifacts[name].artifact_type)
            )

    def _attempts(self, name, task, component, container, executor_input):
        last = 1 + task.retry_policy.max_retry_count
        deadline = self.kubernetes.get(component.executor_label, {}).get("activeDeadlineSeconds")
        for attempt in range(1, last + 1):
            pod = self.new_pod(name)
            executor_input.outputs.output_file = self.backend.output_file(pod, self.root, name)
            for _, artifact in _artifacts(executor_input.inputs):
                _copy(self.backend.stored(artifact.uri), self.backend.local_path(pod, artifact.uri))
            for _, artifact in _artifacts(executor_input.outputs):
                self.backend.local_path(pod, artifact.uri).parent.mkdir(parents=True, exist_ok=True)
            process = self.start([*container.command, *container.args], executor_input, pod)
            if attempt == 1 and name in self.kill:
                _kill_when(process, pod / "log", self.kill[name])
            try:
                status = process.wait(timeout=float(deadline) if deadline else None)
            except subprocess.TimeoutExpired:
                process.kill()
                status = process.wait()
            log = (pod / "log").read_text()
            if self.backend.publish_logs:
                uri = executor_input.outputs.artifacts[LOGS].artifacts[0].uri
                self.backend.local_path(pod, uri).write_text(log)
            if status == 0:
                artifacts = self._publish(executor_input, pod)
                return Task(SUCCEEDED, attempt, log, json_format.MessageToDict(executor_input), artifacts)
        raise TaskFailedError(name, last, log)

    def new_pod(self, name):
        """Return a new file system for a container."""
        pod = self.backend.folder / "pods" / f"{uuid.uuid4()}-{name}"
        pod.mkdir(parents=True)
        return pod

    def start(self, command, executor_input, pod):
        """Start a container's command, its placeholders replaced, with what it prints in `log`."""
        placeholders = {"{{$}}": json_format.MessageToJson(executor_input, indent=None)}
        for name, value in executor_input.inputs.parameter_values.items():
            text = json_format.MessageToDict(value)
            placeholders[f"{{{{$.inputs.parameters['{name}']}}}}"] = (
                text if isinstance(text, str) else f"{text:g}"
            )
        for side, part in (("inputs", executor_input.inputs), ("outputs", executor_input.outputs)):
            for name, artifact in _artifacts(part):
                path = self.backend.local_path(pod, artifact.uri)
                placeholders[f"{{{{$.{side}.artifacts['{name}'].uri}}}}"] = artifact.uri
                placeholders[f"{{{{$.{side}.artifacts['{name}'].path}}}}"] = str(path)
        for placeholder, value in placeholders.items():
            command = [argument.replace(placeholder, value) for argument in command]
        if command[0] != "python":
            raise RefusedError(f"the harness runs Python only, got {command[0]}")
        if self.backend.forked and command[2] in _BEGUN:
            return _Forked(command[2:], pod)
        _BEGUN.add(command[2])
        with (pod / "log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, *command[1:]],
                cwd=pod,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(PROJECT), "TF_CPP_MIN_LOG_LEVEL": "2"},
            )

    def _publish(self, executor_input, pod):
        """Copy the outputs out of the container, and record them."""
        path = Path(executor_input.outputs.output_file)
        output = json_format.Parse(path.read_text() if path.exists() else "{}", pb.ExecutorOutput())
        recorded = {}
        for name, artifact in _artifacts(executor_input.outputs):
            if output.artifacts[name].artifacts:
                told = output.artifacts[name].artifacts[0]
                artifact.uri = told.uri or artifact.uri
                artifact.metadata.MergeFrom(told.metadata)
            _copy(self.backend.local_path(pod, artifact.uri), self.backend.stored(artifact.uri))
            recorded[name] = self.backend.record(artifact, name)
        return recorded


def _artifacts(part):
    return [(name, artifacts.artifacts[0]) for name, artifacts in part.artifacts.items()]


def _copy(source, target):
    """Copy files as an object store keeps them: a folder without files is none."""
    if source == target:
        return
    for path in [source] if source.is_file() else sorted(source.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def _cache_key(executor_input, container):
    """Return what `cacheutils/cache.go` makes of a task: names of artifacts, parameters, types, command."""
    key = {
        "inputs": {name: artifact.name for name, artifact in _artifacts(executor_input.inputs)},
        "parameters": json_format.MessageToDict(executor_input.inputs).get("parameterValues", {}),
        "outputs": {
            name: json_format.MessageToDict(artifact.type)
            for name, artifact in _artifacts(executor_input.outputs)
        },
        "container": [container.image, *container.command, *container.args],
    }
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def _holds(condition, executor_input):
    """Evaluate a condition in CEL, as far as TFX writes them."""
    expression = condition.replace("&&", " and ").replace("||", " or ")
    expression = re.sub(r"!(?!=)", " not ", expression)
    expression = expression.replace("inputs.artifacts", "artifacts")
    expression = re.sub(r"\]\.artifacts\[0\]\.(metadata|uri)", r"]['\1']", expression)
    artifacts = {
        name: {"uri": artifact.uri, "metadata": json_format.MessageToDict(artifact.metadata)}
        for name, artifact in _artifacts(executor_input.inputs)
    }
    return bool(eval(expression, {"__builtins__": {}}, {"artifacts": artifacts}))


_BEGUN = set()  # modules that a process of their own has run


class _Forked:
    """A module that runs in a container as by `python -m`, in a forked process; used as a Popen."""

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"])

    def __init__(self, arguments, pod):
        module, *rest = arguments
        (pod / "log").touch()
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TF_CPP_MIN_LOG_LEVEL": "2"}
        names = {"folder": str(pod), "module": module, "rest": rest, "environment": environment}
        self._process = self.context.Process(target=exec, args=(_RUN_MODULE, names))
        self._process.start()

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a task", timeout)
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def kill(self):
        self._process.kill()


# As text: the process does not know this module.
_RUN_MODULE = """
import os, runpy, sys
os.chdir(folder)
log = os.open("log", os.O_WRONLY)
os.dup2(log, 1)
os.dup2(log, 2)
os.environ.update(environment)
sys.path[0] = environment["PYTHONPATH"]
sys.argv = [module, *rest]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def _kill_when(process, log, text):
    """Send SIGKILL to a process once it has printed a text."""
    while process.poll() is None:
        if text in log.read_text():
            process.kill()
            return
        time.sleep(0.05)
    raise AssertionError(f"the process ended before it printed {text!r}: {log.read_text()[-2000:]}")
