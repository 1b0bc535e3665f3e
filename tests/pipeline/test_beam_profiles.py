import pytest
from apache_beam.options.pipeline_options import (
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    StandardOptions,
)
from tfx.utils import dependency_utils
from typer.testing import CliRunner

from pipeline import cli
from pipeline.beam_profiles import BeamConfig, BeamProfile
from serving.launch import free_port


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


@pytest.mark.parametrize(
    ("profile", "options", "said"),
    [
        ("portable", (), "the profile portable needs --job_endpoint among the Beam options"),
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
