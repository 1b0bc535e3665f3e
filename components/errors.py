"""The error that a run shows to a person as it is."""


class RunStoppedError(Exception):
    """A gate or a check stopped the run; the message says what arrived, where, and what to do."""
