import pytest
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)
from tfx.utils import dependency_utils
from typer.testing import CliRunner

from pipeline import cli
from pipeline.beam_profiles import BeamConfig, BeamProfile
from serving.launch import free_port

DATAFLOW = (
    "--project=deepfm",
    "--region=europe-west4",
    "--temp_location=gs://deepfm/tmp",
    "--sdk_container_image=registry.example/deepfm:1",
)


def test_local_is_this_process_and_needs_no_package_of_tfx():
    options = PipelineOptions(list(BeamConfig().args))
    assert options.view_as(StandardOptions).runner == "FnApiRunner"
    assert dependency_utils.make_beam_dependency_flags(list(BeamConfig().args)) == list(BeamConfig().args)


def test_portable_goes_to_the_job_service():
    beam = BeamConfig(
        profile=BeamProfile.PORTABLE,
        options=("--job_endpoint=flink:8099", "--environment_type=EXTERNAL", "--environment_config=pool:5"),
    )
    options = PipelineOptions(list(beam.args))
    assert options.view_as(StandardOptions).runner == "PortableRunner"
    assert options.view_as(PortableOptions).job_endpoint == beam.job_endpoint == "flink:8099"
    assert options.view_as(PortableOptions).environment_config == "pool:5"
    assert options.view_as(SetupOptions).beam_plugins == ["tfx"]


def test_dataflow_goes_to_the_project_with_the_image():
    options = PipelineOptions(list(BeamConfig(profile=BeamProfile.DATAFLOW, options=DATAFLOW).args))
    assert options.view_as(StandardOptions).runner == "DataflowRunner"
    cloud = options.view_as(GoogleCloudOptions)
    assert (cloud.project, cloud.region, cloud.temp_location) == ("deepfm", "europe-west4", "gs://deepfm/tmp")
    assert options.view_as(WorkerOptions).sdk_container_image == "registry.example/deepfm:1"
    assert options.view_as(SetupOptions).beam_plugins == ["tfx"]


@pytest.mark.parametrize(
    ("profile", "options", "said"),
    [
        ("portable", (), "the profile portable needs --job_endpoint among the Beam options"),
        (
            "dataflow",
            DATAFLOW[:3],
            "the profile dataflow needs --sdk_container_image among the Beam options",
        ),
        (
            "local",
            ("direct_num_workers=2",),
            "`options` must be like --name=value, got 'direct_num_workers=2'",
        ),
        ("local", ("--runner=X",), "`options` must not name a runner: the profile local does"),
    ],
)
def test_what_makes_no_runner_is_refused(profile, options, said):
    with pytest.raises(ValueError, match=f"^{said}$"):
        BeamConfig(profile=BeamProfile(profile), options=options)


def test_a_job_service_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.beam_options._ANSWER_SECONDS", 0.5)
    endpoint = f"localhost:{free_port(0)}"
    result = CliRunner().invoke(
        cli.app,
        ["run", f"--data={tmp_path}", "--beam=portable", f"--beam-option=--job_endpoint={endpoint}"],
    )
    assert result.exit_code == 1
    assert result.output == f"no Beam job service answers at {endpoint}; start it first\n"


@pytest.mark.parametrize("command", ["run", "retrain"])
def test_dataflow_is_not_for_the_folders_of_this_machine(tmp_path, command):
    (tmp_path / "span-2000-12-31").mkdir()
    options = [f"--beam-option={option}" for option in DATAFLOW]
    result = CliRunner().invoke(
        cli.app, [command, f"--data={tmp_path}", f"--runs={tmp_path / 'runs'}", "--beam=dataflow", *options]
    )
    assert result.exit_code == 1
    assert result.output.endswith(
        "Dataflow's workers see no folder of this machine: --beam dataflow is for `deepfm compile`, with "
        "gs:// addresses\n"
    )
