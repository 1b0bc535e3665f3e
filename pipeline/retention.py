"""How long what a run left on the disk stays there."""

import itertools
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact, Execution  # type: ignore[attr-defined]
from tfx.orchestration import metadata
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import PushedModel

from components.pusher.executor import pushed_version
from pipeline.config import PipelineConfig
from pipeline.job import SUMMARY_FILE
from serving import versions

_RUN = "pipeline_run"  # TFX's type of context


def remove_old(config: PipelineConfig, nodes: int) -> None:
    """Remove the artifacts and logs of old runs; the caller holds the lock on the dataset.

    The artifacts stay of the newest `config.keep_runs` runs, of the last one that came to its end, and of
    those that pushed a version which is still in the serving folder: its report is wanted as long. Each
    artifact stays whole if any of them made it or took it from the cache. What a served version is compared
    with lies in its own folder. Of old runs only summary.json stays, which says which days are done.

    ML Metadata still knows every run. It says first that an artifact will be deleted, so that TFX, which
    takes from the cache what is LIVE, never finds one of which a part is gone. What a call that was killed
    left to do, the next one does.

    Args:
        config: Of the runs.
        nodes: How many a run has that came to its end.

    Raises:
        OSError: A file cannot be removed.
    """
    _remove_logs(config)  # first: on a full disk ML Metadata needs room to write
    connection = metadata.sqlite_metadata_connection_config(str(config.metadata))
    with metadata.Metadata(connection) as handle:
        store = handle.store
        executions = {execution.id for run in _runs_to_keep(store, config, nodes) for execution in run}
        kept = {event.artifact_id for event in store.get_events_by_execution_ids(executions)}
        artifacts = store.get_artifacts()
        old = [found for found in artifacts if found.id not in kept and found.state == Artifact.LIVE]
        _set_state(store, old, Artifact.MARKED_FOR_DELETION)
        # A folder is named after the execution that made it, which for an artifact of the cache is older;
        # what a node that failed wants kept has more to its name.
        names = {str(number) for number in executions}
        names |= {Path(found.uri).name for found in artifacts if found.id in kept}
        for folder in filter(Path.is_dir, config.artifacts.glob("*/*/*")):
            # Beside them lies what TFX needs while a node runs.
            if folder.name.split(".")[0] not in names or folder.parts[-2] == ".system":
                shutil.rmtree(folder)
        marked = [found for found in store.get_artifacts() if found.state == Artifact.MARKED_FOR_DELETION]
        gone = [found for found in marked if not os.path.exists(found.uri)]
        _set_state(store, gone, Artifact.DELETED)


def _runs_to_keep(store: MetadataStore, config: PipelineConfig, nodes: int) -> list[list[Execution]]:
    """Return the executions of each run whose artifacts stay."""
    newest_first = sorted(store.get_contexts_by_type(_RUN), key=lambda run: run.id, reverse=True)
    runs = [store.get_executions_by_context(run.id) for run in newest_first]
    ended = (run for run in runs if sum(map(execution_lib.is_execution_successful, run)) == nodes)
    pushers = _pushers(store, config)
    return [
        *runs[: config.keep_runs],
        *itertools.islice(ended, 1),
        *(run for run in runs if any(execution.id in pushers for execution in run)),
    ]


def _pushers(store: MetadataStore, config: PipelineConfig) -> set[int]:
    """Return the executions that pushed the versions in the serving folder, or found one in the cache."""
    served = versions.versions(config.serving)
    pushed = store.get_artifacts_by_type(PushedModel.TYPE_NAME)
    kinds = {kind.id: kind for kind in store.get_artifact_types()}
    ids = [
        found.id
        for found in pushed
        if pushed_version(artifact_utils.deserialize_artifact(kinds[found.type_id], found)) in served
    ]
    return {event.execution_id for event in store.get_events_by_artifact_ids(ids)}


def _set_state(store: MetadataStore, artifacts: Iterable[Artifact], state: int) -> None:
    changed = list(artifacts)
    for found in changed:
        found.state = state
    store.put_artifacts(changed)


def _remove_logs(config: PipelineConfig) -> None:
    """Remove the logs of old runs, and their folders where a run that was killed left no summary."""
    runs = filter(Path.is_dir, (config.root / "history").iterdir())
    for run in sorted(runs)[: -config.keep_runs]:
        if not (run / SUMMARY_FILE).exists():
            shutil.rmtree(run)
            continue
        for path in run.iterdir():
            if path.name != SUMMARY_FILE:
                path.unlink()
