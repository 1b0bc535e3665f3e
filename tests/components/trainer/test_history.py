import pytest

from components.trainer.history import EPOCH, HISTORY_FILE, SWEEP, History, Step, read_history


def history(unit, *rmses):
    return History(
        unit=unit,
        steps=tuple(
            Step(number=n, train_rmse=1.0, validation_rmse=rmse, validation_mae=0.7)
            for n, rmse in enumerate(rmses, 1)
        ),
    )


def test_epochs_are_numbered_from_one(tmp_path):
    (tmp_path / HISTORY_FILE).write_bytes(
        b"epoch,loss,mae,rmse,val_loss,val_mae,val_rmse\r\n"
        b"0,0.9,0.74,0.95,0.81,0.71,0.9\r\n"
        b"1,0.8,0.70,0.89,0.64,0.63,0.8\r\n"
    )
    assert read_history(str(tmp_path)) == History(
        unit=EPOCH,
        steps=(
            Step(number=1, train_rmse=0.95, validation_rmse=0.9, validation_mae=0.71),
            Step(number=2, train_rmse=0.89, validation_rmse=0.8, validation_mae=0.63),
        ),
    )


def test_sweeps_are_told_from_epochs(tmp_path):
    (tmp_path / HISTORY_FILE).write_bytes(b"sweep,rmse,val_rmse,val_mae\r\n0,0.9,0.95,0.74\r\n")
    assert read_history(str(tmp_path)) == History(
        unit=SWEEP, steps=(Step(number=1, train_rmse=0.9, validation_rmse=0.95, validation_mae=0.74),)
    )


@pytest.mark.parametrize(("rmses", "best"), [([0.9], 1), ([0.9, 0.8, 0.85], 2), ([0.9, 0.8, 0.8], 2)])
def test_the_epoch_kept_is_the_first_of_the_lowest_rmse(rmses, best):
    kept = history(EPOCH, *rmses)
    assert kept.kept.number == best
    assert kept.text == f"best of {len(rmses)} epochs is {best}: validation RMSE {min(rmses):.4f}"


def test_sweeps_choose_nothing():
    kept = history(SWEEP, 0.9, 0.8, 0.85)
    assert kept.kept.number == 3
    assert kept.text == "validation RMSE 0.8500 after 3 sweeps of burn-in"
