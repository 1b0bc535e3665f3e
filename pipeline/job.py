"""What `pipeline.local` hands to the process that runs the pipeline."""

import dataclasses
from pathlib import Path
from typing import Any

from pipeline.config import PipelineConfig

SUMMARY_FILE = "summary.json"  # in the run folder
ALREADY_RUNNING = 3  # exit status where another run works on the dataset
INTERRUPTED = 130  # exit status after Ctrl-C, as of a shell


@dataclasses.dataclass(frozen=True)
class Job:
    """What the parent asks for."""

    config: PipelineConfig
    run_folder: Path  # log and summary go there
    event_descriptor: int
    facts: dict[str, Any]  # entries of summary.json that are known before the run
