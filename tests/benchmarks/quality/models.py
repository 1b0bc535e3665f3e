"""All that can be measured, by name."""

from pipeline.config import PRESETS
from tests.benchmarks.quality.baseline import FOLDER, Baseline
from tests.benchmarks.quality.model import PRESET, Model
from tests.benchmarks.quality.preset import PresetModel

_SURPRISE, _MYFM, _EASE = (FOLDER / name for name in ("surprise_svd.py", "myfm_svdpp.py", "ease.py"))

# They order movies, and rate none.
RANKERS: dict[str, Model] = {
    "popularity": Baseline(FOLDER / "popularity.py"),
    "item-knn": Baseline(FOLDER / "item_knn.py"),
    "als": Baseline(FOLDER / "implicit_als.py"),
    "ease": Baseline(_EASE),
    "ease-recent": Baseline(_EASE, ("--l2=1000", "--fade=3")),
}

MODELS: dict[str, Model] = {
    "damped-bias": Baseline(FOLDER / "damped_bias.py"),
    "svd": Baseline(_SURPRISE, ("--algorithm=svd",)),
    "svd++": Baseline(_SURPRISE, ("--algorithm=svd++",)),
    "myfm-short": Baseline(_MYFM, ("--rank=8", "--iterations=20", "--day")),
    "myfm": Baseline(_MYFM, ("--rank=32", "--iterations=512")),
    "myfm-day": Baseline(_MYFM, ("--rank=32", "--iterations=512", "--day")),
    "myfm-ordered": Baseline(_MYFM, ("--rank=32", "--iterations=512", "--day", "--ordered")),
    "deepctr-deepfm": Baseline(FOLDER / "deepctr_deepfm.py"),
    **RANKERS,
    **{f"{PRESET}{name}": PresetModel(name) for name in PRESETS},
}
