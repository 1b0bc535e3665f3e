"""The error that a run shows to a person as it is."""


class RunStoppedError(Exception):
    """A gate or a check stopped the run.

    Args:
      message: what arrived, where, and what to do.
      rejected_rows: folder where rejected rows and their counts were kept, if that is why.
      of_data: whether the data that the run read are why, so that the same data would stop it again.
    """

    def __init__(self, message: str, rejected_rows: str | None = None, *, of_data: bool = True) -> None:
        super().__init__(message)
        self.of_data = of_data
        self.rejected_rows = rejected_rows

    @property
    def kept(self) -> str:
        """Where the rejected rows are, as a sentence, for a person who can see the folder."""
        return f"The counts and the rejected lines are in {self.rejected_rows}"
