"""The one error that a person sees when there is something wrong with a dataset."""


class DatasetError(Exception):
    """A dataset cannot be used: one sentence that says what arrived, where, and what to do."""
