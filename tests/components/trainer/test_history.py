import pytest

from components.trainer.history import HISTORY_FILE, Epoch, best_epoch, read_history


def test_epochs_are_numbered_from_one(tmp_path):
    (tmp_path / HISTORY_FILE).write_bytes(
        b"epoch,loss,mae,rmse,val_loss,val_mae,val_rmse\r\n"
        b"0,0.9,0.74,0.95,0.81,0.71,0.9\r\n"
        b"1,0.8,0.70,0.89,0.64,0.63,0.8\r\n"
    )
    assert read_history(str(tmp_path)) == (
        Epoch(number=1, train_rmse=0.95, validation_rmse=0.9, validation_mae=0.71),
        Epoch(number=2, train_rmse=0.89, validation_rmse=0.8, validation_mae=0.63),
    )


@pytest.mark.parametrize(("rmses", "best"), [([0.9], 1), ([0.9, 0.8, 0.85], 2), ([0.9, 0.8, 0.8], 2)])
def test_the_best_epoch_is_the_first_of_the_lowest_rmse(rmses, best):
    epochs = [
        Epoch(number=n, train_rmse=1.0, validation_rmse=rmse, validation_mae=0.7)
        for n, rmse in enumerate(rmses, 1)
    ]
    assert best_epoch(epochs).number == best
