"""The files of a dataset folder, as MovieLens 1M has them, and the marker of a generated one."""

import dataclasses
import json
import math
from collections.abc import Iterable
from pathlib import Path

from components.ratings_example_gen.parse import MOVIES_FILE, RATINGS_FILE, USERS_FILE
from pipeline.dataset.errors import DatasetError

DATA_FILES = (RATINGS_FILE, MOVIES_FILE, USERS_FILE)

ENCODING = "latin-1"

MARKER_FILE = "dataset.json"

_LISTED = 6


def listing(names: Iterable[str]) -> str:
    """Write names as a short list for a sentence: `a, b and 3 more`; `nothing` if there are none."""
    ordered = sorted(names)
    if len(ordered) > _LISTED:
        return f"{', '.join(ordered[: _LISTED - 1])} and {len(ordered) - _LISTED + 1} more"
    return " and ".join(part for part in (", ".join(ordered[:-1]), *ordered[-1:]) if part) or "nothing"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Marker:
    """What `dataset.json` says: this folder was generated, from these arguments, with this floor."""

    name: str
    generated: bool = True
    generator_version: int
    ratings: int
    users: int
    movies: int
    seed: int
    noise_floor_rmse: float  # stars; no predictor can expect a lower RMSE on these ratings
    file_bytes: dict[str, int]  # size of each data file

    def to_json(self) -> str:
        """Return the marker as the text of `dataset.json`."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    def matches(self, folder: Path) -> bool:
        """Say whether the data files in `folder` have the sizes that the generator wrote."""
        return all(
            (folder / name).is_file() and (folder / name).stat().st_size == self.file_bytes.get(name)
            for name in DATA_FILES
        )


def parse_marker(text: str, where: str) -> Marker | None:
    """Parse the text of a `dataset.json`.

    Args:
        text: The file's content.
        where: The file's place, for the error message.

    Returns:
        The marker, or None where the file does not say `"generated": true`.

    Raises:
        DatasetError: The text is no JSON object, or is a generator's marker with fields missing.
    """
    advice = "generate the dataset again, or delete the file if the ratings are real"
    try:
        values = json.loads(text)
    except ValueError as error:
        raise DatasetError(f"{where} is not valid JSON ({error}): {advice}.") from error
    if not isinstance(values, dict):
        raise DatasetError(f"{where} holds no JSON object: {advice}.")
    if values.get("generated") is not True:
        return None
    try:
        floor = float(values["noise_floor_rmse"])
        marker = Marker(
            name=str(values["name"]),
            generator_version=int(values["generator_version"]),
            ratings=int(values["ratings"]),
            users=int(values["users"]),
            movies=int(values["movies"]),
            seed=int(values["seed"]),
            noise_floor_rmse=floor,
            file_bytes={str(name): int(size) for name, size in dict(values["file_bytes"]).items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{where} lacks a usable field ({error}): {advice}.") from error
    if not (math.isfinite(floor) and floor >= 0):
        raise DatasetError(f"{where} has a noise_floor_rmse of {floor}: {advice}.")
    return marker


def read_marker(folder: Path) -> Marker | None:
    """Read the marker of a dataset folder.

    Returns:
        The marker, or None where the folder has none and its data are therefore real.

    Raises:
        DatasetError: There is a marker that cannot be read.
    """
    path = folder / MARKER_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read ({error}).") from error
    return parse_marker(text, str(path))
