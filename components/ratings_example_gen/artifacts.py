"""The artifacts that RatingsExampleGen emits beside Examples."""

from tfx.types.artifact import Artifact

INPUT_FINGERPRINT = "input_fingerprint"  # execution property, and string property of the examples


class RejectedRows(Artifact):
    """Parquet files of the rejected lines (file, line, field, reason, text) and _counts.json.

    `text` is binary: the line's exact bytes, without its line feed. _counts.json is what
    `counts.RowCounts` reads and writes.
    """

    TYPE_NAME = "deepfm.RejectedRows"


class Catalogue(Artifact):
    """users.parquet, movies.parquet and rated/: what `serving.catalogue.Catalogue` loads."""

    TYPE_NAME = "deepfm.Catalogue"
