"""The graph of a search, and a search end to end in real processes."""

import json

import pytest
from tfx.dsl.compiler import compiler

from pipeline.config import PRESETS, PipelineConfig
from pipeline.dataset.generated import generate
from pipeline.graph import create_pipeline
from pipeline.tuning import create_tuning_pipeline
from pipeline.tuning_config import TuningConfig

RATINGS = 6_000


@pytest.fixture
def config(tmp_path):
    return PRESETS["best"](
        PipelineConfig(
            dataset="ml-1m", data_folder=tmp_path / "data", root=tmp_path / "runs", generated=False
        )
    )


def test_a_search_is_told_what_a_run_is_told(config):
    run = {node.id: node for node in create_pipeline(config).components}
    graph = create_tuning_pipeline(TuningConfig.of(config, 7))
    nodes = {node.id: node for node in graph.components}
    assert list(nodes) == ["ImportSchemaGen", "RatingsExampleGen", "Transform", "Tuner"]
    for shared in ("ImportSchemaGen", "RatingsExampleGen", "Transform"):
        assert nodes[shared].exec_properties == run[shared].exec_properties
    tuner = nodes["Tuner"].exec_properties
    assert json.loads(tuner["custom_config"]) == {
        **json.loads(run["Trainer"].exec_properties["custom_config"]),
        "trials": 7,
    }
    assert json.loads(tuner["train_args"]) == {"splits": ["train"]}
    assert json.loads(tuner["eval_args"]) == {"splits": ["valid"]}
    assert tuner["source_fingerprint"]
    assert len(compiler.Compiler().compile(graph).nodes) == 4


def test_a_search_has_a_folder_of_its_own(config):
    search = TuningConfig.of(config, 1)
    assert search.root == config.root / "tuning"
    assert (search.model, search.train, search.transform) == (config.model, config.train, config.transform)


@pytest.mark.parametrize(
    ("preset", "trials", "message"),
    [
        ("best", 0, "`trials` must be at least 1, got 0"),
        (
            "gradient",
            1,
            "only a model that is fitted by Gibbs sampling can be tuned, such as the preset 'best'",
        ),
    ],
)
def test_config_rejects(tmp_path, preset, trials, message):
    config = PRESETS[preset](PipelineConfig(dataset="d", data_folder=tmp_path, root=tmp_path, generated=True))
    with pytest.raises(ValueError, match=message):
        TuningConfig.of(config, trials)


def test_two_trials_end_to_end(new_project, tmp_path):
    name = generate(tmp_path / "small", ratings=RATINGS, users=100, movies=80, seed=3).name
    project = new_project(tmp_path, f"{name}/tuning")
    status, printed = project.deepfm("tune", "--data", "small", "--preset", "fast", "--trials", "2")
    assert status == 0, printed
    summary = project.summary()
    assert summary["state"] == "succeeded"
    assert not {"blessed", "pushed_version"} & summary.keys()
    assert set(summary["seconds_by_node"]) == {"ImportSchemaGen", "RatingsExampleGen", "Transform", "Tuner"}
    trials = summary["trials"]
    assert sorted(trial["number"] for trial in trials) == [1, 2]
    assert trials[0]["validation_rmse"] <= trials[1]["validation_rmse"] < 1.5
    assert len(trials[0]["hyperparameters"]) == 7

    lines = printed.splitlines()
    head = next(number for number, line in enumerate(lines) if line.split()[:2] == ["trial", "validation"])
    assert lines[head].split()[3:] == list(trials[0]["hyperparameters"])
    for line, trial in zip(lines[head + 1 :], trials, strict=False):
        assert line.split()[:2] == [str(trial["number"]), f"{trial['validation_rmse']:.4f}"]
    assert f"embedding_dim={trials[0]['hyperparameters']['embedding_dim']}, " in printed
    assert not (tmp_path / "runs" / name / "latest").exists()
