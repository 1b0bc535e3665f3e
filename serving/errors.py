"""What can go wrong between a caller and a served model, as one tree of exceptions."""

# ruff: noqa: N818 - each is named after what went wrong; the root says that it is an error.


class ServingError(Exception):
    """The root: catch it to catch every error of this package's own."""


class ServerUnavailable(ServingError):
    """No server answers at the address, or it went away and stayed away through the retries."""


class DeadlineExceeded(ServingError):
    """The answer did not come within the timeout."""


class ModelNotFound(ServingError):
    """The server, or the serving folder, has no such model or version."""


class InvalidRequest(ServingError):
    """The request does not fit the signature: an input's name, type, shape or value."""


class SignatureNotFound(InvalidRequest):
    """The model has no signature of that name."""


class LimitExceeded(ServingError):
    """A message is over the size limit, or the server has no room for another request."""


class NotSupported(ServingError):
    """The request asks for what the server does not do."""


class LabelUnavailable(ServingError):
    """A label is to point to a version that is not available."""


class UnexpectedAnswer(ServingError):
    """The server answered, but not as the model's contract says."""


class ModelNotLoadable(ServingError):
    """A version's files cannot be loaded, or its warm-up requests fail."""


class ModelFailed(ServingError):
    """The model's graph failed on a request that fits its signature.

    Args:
        message: What TensorFlow reports.
        code: The canonical status code, as in `grpc.StatusCode`.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
