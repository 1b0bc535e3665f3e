"""The artifacts that RatingsExampleGen emits beside Examples."""

from tfx.types.artifact import Artifact

INPUT_FINGERPRINT = "input_fingerprint"  # execution property, and string property of the examples
INPUTS = "inputs"  # execution property: the files that are read, an `inputs.Inputs` as JSON

# String properties of the examples of a folder of days.
EVALUATION_START = "evaluation_start"  # first day of the evaluation span; the training days lie before it
SPANS = "spans"  # `inputs.Inputs.days` as JSON


class RejectedRows(Artifact):
    """Parquet files of the rejected lines (file, line, field, reason, text) and _counts.json.

    `text` is binary: the line's exact bytes, without its line feed. _counts.json is what
    `counts.RowCounts` reads and writes.
    """

    TYPE_NAME = "deepfm.RejectedRows"


class Catalogue(Artifact):
    """users.parquet, movies.parquet and rated/: what `serving.catalogue.Catalogue` loads."""

    TYPE_NAME = "deepfm.Catalogue"
