"""What DataGate emits when it lets the data pass."""

from tfx.types.artifact import Artifact


class DataBlessing(Artifact):
    """The data passed the gate; its `report.json` is what `report.Report` reads and writes."""

    TYPE_NAME = "deepfm.DataBlessing"
