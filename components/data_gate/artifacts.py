"""What DataGate emits when it lets the data pass."""

from tfx.types.artifact import Artifact


class DataBlessing(Artifact):
    """The data passed the gate; its `report.json` lists the splits that were checked."""

    TYPE_NAME = "deepfm.DataBlessing"
