import json
import os

from pipeline.summaries import last_serving_dir, last_summaries


def test_what_is_served_is_found_past_a_later_run_that_pushed_nothing(tmp_path):
    for name, version in (("ml-1m", "1"), ("bad", None)):
        serving = tmp_path / "runs" / name / "serving" / "deepfm"
        serving.mkdir(parents=True)
        if version:
            (serving / version).mkdir()
            (serving / version / "saved_model.pb").touch()
        latest = tmp_path / "runs" / name / "latest"
        latest.mkdir()
        summary = {"state": "failed", "blessed": False, "pushed_version": version, "seconds": 1.0}
        (latest / "summary.json").write_text(json.dumps(summary | {"serving_dir": str(serving)}))
        os.utime(latest / "summary.json", (0, 0) if version else (1, 1))
    damaged = tmp_path / "runs" / "damaged" / "latest"
    damaged.mkdir(parents=True)
    (damaged / "summary.json").write_text("{}")
    assert last_serving_dir(tmp_path / "runs") == tmp_path / "runs" / "ml-1m" / "serving" / "deepfm"
    assert {
        name: summary and summary["state"] for name, summary in last_summaries(tmp_path / "runs").items()
    } == {
        "ml-1m": "failed",
        "bad": "failed",
        "damaged": None,
    }
    assert last_serving_dir(tmp_path / "nowhere") is None
