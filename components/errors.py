"""The error that a run shows to a person as it is."""


class RunStoppedError(Exception):
    """A gate or a check stopped the run.

    Args:
      message: what arrived, where, and what to do.
      rejected_rows: folder where rejected rows and their counts were kept, if that is why.
    """

    def __init__(self, message: str, rejected_rows: str | None = None) -> None:
        super().__init__(message)
        self.rejected_rows = rejected_rows
