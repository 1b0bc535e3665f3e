"""What DataGate emits when it lets the data pass."""

from tfx.types.artifact import Artifact


class DataBlessing(Artifact):
    """The data passed the gate; `REPORT_FILE` lists what was checked."""

    TYPE_NAME = "DataBlessing"
