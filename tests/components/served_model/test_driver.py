import hashlib
import shutil

import pytest
from tfx.orchestration import metadata
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.types import standard_artifacts

from components.ratings_example_gen.artifacts import EVALUATION_START, INPUT_FINGERPRINT
from components.served_model.driver import Driver, baseline
from components.served_model.properties import BASELINE_VERSION, NO_VERSION, TRAINING_IDENTITY
from serving import release, versions

IDENTITY = hashlib.sha256(b"rows 2000-12-25 random 1 epochs 2").hexdigest()


@pytest.fixture
def drive(tmp_path, serving_dir):
    """Run the driver, and return the properties that it puts."""
    handle = metadata.Metadata(metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.db")))

    def run(
        input_fingerprint="rows",
        evaluation_start="2000-12-25",
        split_identity="random 1",
        training_config="epochs 2",
    ):
        examples = standard_artifacts.Examples()
        examples.set_string_custom_property(INPUT_FINGERPRINT, input_fingerprint)
        examples.set_string_custom_property(EVALUATION_START, evaluation_start)
        info = ExecutionInfo(
            input_dict={"examples": [examples]},
            exec_properties={
                "serving_dir": str(serving_dir),
                "split_identity": split_identity,
                "training_config": training_config,
            },
        )
        output = Driver(handle).run(info)
        return {
            name: getattr(value, value.WhichOneof("value")) for name, value in output.exec_properties.items()
        }

    return run


def test_nothing_served_is_no_baseline(serving_dir):
    assert baseline(str(serving_dir), "mine") == NO_VERSION == 0
    serving_dir.mkdir()
    assert baseline(str(serving_dir), "mine") == 0


def test_the_latest_model_of_another_training_is_the_baseline(publish, serving_dir):
    publish("one", training_identity="mine", baseline_version=0)
    publish("two", training_identity="other", baseline_version=1)
    assert baseline(str(serving_dir), "mine") == 2


def test_a_model_that_does_not_say_its_training_is_the_baseline(publish, serving_dir):
    publish("one")
    assert baseline(str(serving_dir), "mine") == 1


def test_the_same_training_again_has_the_baseline_of_that_time(publish, serving_dir):
    publish("one", training_identity="other", baseline_version=0)
    publish("two", training_identity="another", baseline_version=1)
    publish("three", training_identity="mine", baseline_version=1)
    assert baseline(str(serving_dir), "mine") == 1
    shutil.rmtree(serving_dir / "1")
    assert baseline(str(serving_dir), "mine") == 0


def test_the_first_training_again_has_no_baseline(publish, serving_dir):
    publish("one", training_identity="mine", baseline_version=0)
    assert baseline(str(serving_dir), "mine") == 0


def test_after_a_rollback_the_baseline_is_what_is_served(publish, serving_dir):
    for name in ("one", "two"):
        release.publish(serving_dir, publish(name, training_identity=name, baseline_version=0))
    assert baseline(str(serving_dir), "mine") == 2
    release.rollback(serving_dir, "worse")
    assert baseline(str(serving_dir), "mine") == 1
    shutil.rmtree(serving_dir / "1")
    assert baseline(str(serving_dir), "mine") == 2


def test_the_driver_puts_three_properties_where_nothing_is_served(drive):
    assert drive() == {
        BASELINE_VERSION: 0,
        "baseline_fingerprint": "",
        TRAINING_IDENTITY: IDENTITY,
    }


def test_the_driver_puts_three_properties_of_the_served_model(drive, publish, serving_dir):
    publish("one", training_identity="other", baseline_version=0)
    assert drive() == {
        BASELINE_VERSION: 1,
        "baseline_fingerprint": versions.content_fingerprint(serving_dir / "1"),
        TRAINING_IDENTITY: IDENTITY,
    }


def test_the_same_run_again_gives_the_same_properties(drive, publish, serving_dir):
    publish("one", training_identity="other", baseline_version=0)
    first = drive()
    publish("two", training_identity=first[TRAINING_IDENTITY], baseline_version=first[BASELINE_VERSION])
    assert drive() == first
    changed = drive(training_config="epochs 3")
    assert changed[BASELINE_VERSION] == 2
    assert changed["baseline_fingerprint"] == versions.content_fingerprint(serving_dir / "2")


@pytest.mark.parametrize(
    "name", ["input_fingerprint", "evaluation_start", "split_identity", "training_config"]
)
def test_another_input_is_another_training(drive, name):
    assert drive(**{name: "changed"})[TRAINING_IDENTITY] != IDENTITY


def test_a_version_put_there_by_hand_is_a_baseline_too(drive, publish, serving_dir):
    folder = serving_dir / str(publish("one"))
    (folder / versions.MANIFEST).unlink()
    before = drive()
    assert before[BASELINE_VERSION] == 1
    (folder / versions.SAVED_MODEL).write_bytes(b"overwritten in place")
    after = drive()
    assert after[BASELINE_VERSION] == 1
    assert after["baseline_fingerprint"] != before["baseline_fingerprint"]


def test_a_broken_manifest_is_named(drive, publish, serving_dir):
    path = serving_dir / str(publish("one")) / versions.MANIFEST
    path.write_text("{")
    with pytest.raises(ValueError, match=f"{path} must hold a JSON object: Expecting property name"):
        drive()
