"""How ModelReport reads the run and writes about it."""

import datetime
import os
from importlib import metadata
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components import progress
from components.data_gate.report import Report as DataReport
from components.deepfm.config import DeepFMConfig
from components.evaluator.config import EvaluatorConfig
from components.evaluator.results import read_evaluation
from components.fit_config import read_fit_config
from components.model_report.artifacts import CARD_FILE, REPORT_FILE
from components.model_report.config import DatasetFacts
from components.model_report.findings import Findings
from components.model_report.render import render_card, render_report
from components.pusher.executor import pushed_version
from components.ratings_example_gen import counts
from components.ratings_example_gen.config import ExampleGenConfig
from components.serving_validator.report import Report
from components.trainer.history import read_history
from components.trainer.start import Start

_SOFTWARE = {"TFX": "tfx", "TensorFlow": "tensorflow", "Keras": "keras"}


class Executor(base_executor.BaseExecutor):
    """Writes the report and the model card."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write both files."""
        self._log_startup(input_dict, output_dict, exec_properties)
        inputs = {name: artifact_utils.get_single_instance(found) for name, found in input_dict.items()}
        example_gen = ExampleGenConfig.from_json(exec_properties["example_gen_config"])
        findings = Findings(
            dataset=DatasetFacts.from_json(exec_properties["dataset"]),
            example_gen=example_gen,
            days=example_gen.days(exec_properties),
            model=DeepFMConfig.from_json(exec_properties["model_config"]),
            train=read_fit_config(exec_properties["train_config"]),
            evaluator=EvaluatorConfig.from_json(exec_properties["evaluator_config"]),
            counts=counts.read(inputs["rejected_rows"].uri),
            data=DataReport.read(inputs["data_blessing"].uri),
            start=Start.read(inputs["model_run"].uri),
            history=read_history(inputs["model_run"].uri),
            evaluation=read_evaluation(inputs["evaluation"].uri),
            serving=Report.read(inputs["infra_blessing"].uri),
            pushed_version=pushed_version(inputs["pushed_model"]),
            written=datetime.datetime.now(datetime.UTC).date(),
            software={name: metadata.version(package) for name, package in _SOFTWARE.items()},
        )
        folder = artifact_utils.get_single_uri(output_dict["report"])
        io_utils.write_string_file(os.path.join(folder, REPORT_FILE), render_report(findings))
        io_utils.write_string_file(os.path.join(folder, CARD_FILE), render_card(findings))
        progress.report(1.0, f"{REPORT_FILE} and {CARD_FILE}")
