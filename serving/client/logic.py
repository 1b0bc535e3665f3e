"""What is asked of a model and how its answers are read.

One text serves the client that blocks and the one that awaits; they differ in how requests are sent.
"""

import dataclasses
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence, Set
from typing import Final, Generic, TypeVar

import numpy as np

from schema import features
from serving import errors, versions, wire
from serving.catalogue import Catalogue
from serving.client.channel import TlsConfig
from serving.client.routing import Router, Version
from serving.protos import example_pb2, predict_pb2

PREDICT_SIGNATURE: Final = "predict"
RANK_SIGNATURE: Final = "rank"
EXAMPLES_SIGNATURE: Final = "serving_default"
EXAMPLES_INPUT: Final = "examples"

ROWS_PER_REQUEST: Final = 8192
"""Pairs or movies of one request: a few hundred bytes each, so far below `wire.MAX_MESSAGE_BYTES`."""

REQUESTS_AT_ONCE: Final = 4
"""Requests of one call that are under way together; a server's queue is shared with other callers."""

# TensorFlow Serving's words to an input that a signature lacks, and of one that it needs.
_TIMESTAMP_UNKNOWN = f"Sent extra: {{{features.TIMESTAMP.name}}}."
_TIMESTAMP_MISSING = f"Missing but required: {{{features.TIMESTAMP.name}}}."
_NO_STRING = features.MISSING_STRING.encode()

AnyTransport = TypeVar("AnyTransport")


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """A movie for a user."""

    mid: int
    title: str  # empty if the catalogue lacks the movie
    rating: float  # predicted, in stars


class Deadline:
    """The time by which a call must be over, however many requests it takes.

    Args:
        seconds: From the first request on.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end: float | None = None

    def left(self) -> float:
        """Return the seconds that are left for a request.

        Raises:
            DeadlineExceeded: There are none.
        """
        if self._end is None:
            self._end = time.monotonic() + self._seconds
            return self._seconds
        left = self._end - time.monotonic()
        if left <= 0:
            raise errors.DeadlineExceeded(
                f"not all was asked within {self._seconds:g} s; allow more time, or ask for less"
            )
        return left


class ModelCalls(Generic[AnyTransport]):
    """The calls of one model of one server.

    Args:
        target: Address as `host:port`.
        catalogue: Features of users and movies, titles, and who has rated what. Without it the model knows an
            id, and nothing else of whom it stands for.
        model_name: Name that the model is served under.
        timeout: Seconds that a call may take, in which it waits for a server and asks again.
        transport: Something else than gRPC to `target`; closed with the client.
        tls: Files of a connection over TLS to `target`; None for plain text.
        examples: Send tf.Examples, as Classify and Regress take them, instead of raw tensors; slower, and
            `rank` then orders movies by rating.
        router: Chooses the version for each user; None for the latest version.

    Attributes:
        answered: Numbers of the versions that have answered so far.

    Raises:
        ValueError: `timeout` is not positive.
        RuntimeError: The client is for asyncio, has no `transport`, and no event loop runs.
        FileNotFoundError: A file of `tls` is missing.
    """

    def __init__(
        self,
        target: str = f"{wire.HOST}:8500",
        catalogue: Catalogue | None = None,
        model_name: str = versions.MODEL_NAME,
        timeout: float = 30.0,
        transport: AnyTransport | None = None,
        *,
        tls: TlsConfig | None = None,
        examples: bool = False,
        router: Router | None = None,
    ) -> None:
        if timeout <= 0:
            raise ValueError(f"`timeout` must be positive, got {timeout}")
        self.catalogue = catalogue if catalogue is not None else Catalogue.empty()
        self.model_name = model_name
        self.timeout = timeout
        self.examples = examples
        self.router = router
        self.answered: set[int] = set()
        self._transport = self._connected(target, tls) if transport is None else transport

    def _connected(self, target: str, tls: TlsConfig | None) -> AnyTransport:
        """Return a transport over gRPC."""
        raise NotImplementedError

    async def _ask(
        self, requests: Sequence[predict_pb2.PredictRequest], deadline: Deadline
    ) -> list[predict_pb2.PredictResponse]:
        """Send requests, and return their responses in the same order."""
        raise NotImplementedError

    async def _predict(
        self,
        pairs: Sequence[tuple[int, int]] | np.ndarray,
        timestamps: Sequence[int] | np.ndarray | int | None,
    ) -> np.ndarray:
        """Predict ratings; arguments and result as `Client.predict`."""
        ids = _identities("pairs", pairs)
        if ids.size == 0:
            return np.empty(0, np.float32)
        if ids.ndim != 2 or ids.shape[1] != 2:
            raise errors.InvalidRequest(f"`pairs` must be of shape [n, 2], got {list(ids.shape)}")
        moments = _moments("timestamps", timestamps, len(ids))
        parts = [(version, rows) for version, of_it in self._versions(ids[:, 0]) for rows in _parts(of_it)]
        answers = await self._asked(
            self._predict_request(ids[rows, 0], ids[rows, 1], moments[rows], version)
            for version, rows in parts
        )
        ratings = np.empty(len(ids), np.float32)
        for (_, rows), outputs in zip(parts, answers, strict=True):
            ratings[rows] = _output(outputs, features.RATING, np.float32, len(rows))
        return ratings

    async def _rank(
        self,
        uid: int,
        mids: Sequence[int] | np.ndarray | None,
        top: int,
        exclude: Sequence[int] | Set[int] | np.ndarray,
        include_rated: bool,
        timestamp: int | None,
    ) -> list[Recommendation]:
        """Rank movies for a user; arguments and result as `Client.rank`."""
        if top < 1:
            raise errors.InvalidRequest(f"`top` must be positive, got {top}")
        if mids is None and not self.catalogue.mids.size:
            raise errors.InvalidRequest("give `mids`, or a catalogue that has movies")
        candidates = self.catalogue.mids if mids is None else _list("mids", mids)
        excluded = _list("exclude", list(exclude) if isinstance(exclude, Set) else exclude)
        ids = _identities("uid", uid)
        if ids.size != 1:
            raise errors.InvalidRequest(f"`uid` must be one id, got {list(ids.shape)}")
        user = int(ids.item())
        moment = int(_moments("timestamp", timestamp, 1).item())
        if not include_rated:
            excluded = np.concatenate([excluded, self.catalogue.rated(user)])
        candidates = candidates[~np.isin(candidates, excluded)]
        if candidates.size == 0:
            return []
        version = None if self.router is None else self.router.version(user)
        parts = list(_parts(candidates))
        answers = await self._asked(self._rank_request(user, part, moment, version) for part in parts)
        # Older versions, and tf.Examples, have an order by rating alone.
        scored = all(features.SCORE.name in outputs for outputs in answers)
        best, ratings, scores = [], [], []
        for part, outputs in zip(parts, answers, strict=True):
            best.append(part if self.examples else _output(outputs, features.MID, np.int64, len(part)))
            ratings.append(_output(outputs, features.RATING, np.float32, len(part)))
            if scored:
                scores.append(_output(outputs, features.SCORE, np.float32, len(part)))
        by = np.concatenate(scores if scored else ratings)
        return self._best(np.concatenate(best), np.concatenate(ratings), by, top)

    async def _asked(self, requests: Iterable[predict_pb2.PredictRequest]) -> list[dict[str, np.ndarray]]:
        """Ask in turns of `REQUESTS_AT_ONCE`, each made when it is its turn; return the outputs of all."""
        waiting = iter(requests)
        deadline = Deadline(self.timeout)
        answers: list[dict[str, np.ndarray]] = []
        while turn := list(itertools.islice(waiting, REQUESTS_AT_ONCE)):
            for response in await self._ask(turn, deadline):
                self.answered.add(response.model_spec.version.value)
                answers.append({name: wire.decode(value) for name, value in response.outputs.items()})
        return answers

    def _versions(self, uids: np.ndarray) -> Iterator[tuple[Version | None, np.ndarray]]:
        """Yield each version and the rows that it gets, int64[k]."""
        if self.router is None:
            yield None, np.arange(len(uids))
            return
        users, of_user = np.unique(uids, return_inverse=True)
        chosen = [self.router.version(int(user)) for user in users]
        for version in dict.fromkeys(chosen):
            yield version, np.flatnonzero(np.array([other == version for other in chosen])[of_user])

    def _predict_request(
        self, uids: np.ndarray, mids: np.ndarray, moments: np.ndarray, version: Version | None
    ) -> predict_pb2.PredictRequest:
        inputs = self.catalogue.predict_inputs(uids, mids, moments)
        if self.examples:
            return self._request(
                EXAMPLES_SIGNATURE, {EXAMPLES_INPUT: examples_of(inputs, len(uids))}, version
            )
        return self._request(PREDICT_SIGNATURE, inputs, version)

    def _rank_request(
        self, uid: int, mids: np.ndarray, moment: int, version: Version | None
    ) -> predict_pb2.PredictRequest:
        if self.examples:
            users, moments = (np.full(len(mids), value) for value in (uid, moment))
            return self._predict_request(users, mids, moments, version)
        return self._request(RANK_SIGNATURE, self.catalogue.rank_inputs(uid, mids, moment), version)

    def _request(
        self, signature: str, inputs: dict[str, np.ndarray], version: Version | None
    ) -> predict_pb2.PredictRequest:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self.model_name
        request.model_spec.signature_name = signature
        if isinstance(version, str):
            request.model_spec.version_label = version
        elif version is not None:
            request.model_spec.version.value = version
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(wire.encode(value))
        return request

    def _best(
        self, mids: np.ndarray, ratings: np.ndarray, scores: np.ndarray, top: int
    ) -> list[Recommendation]:
        """Return the movies with the highest scores, ties in the order of `mids`."""
        # A stable sort, so that parts which the server sorted stay as it sorted them.
        order = np.argsort(-scores, kind="stable")[:top]
        return [
            Recommendation(int(mid), title, float(rating))
            for mid, title, rating in zip(
                mids[order], self.catalogue.titles(mids[order]), ratings[order], strict=True
            )
        ]


async def answer_of(
    ask: Callable[[predict_pb2.PredictRequest, float], Awaitable[predict_pb2.PredictResponse]],
    request: predict_pb2.PredictRequest,
    deadline: Deadline,
) -> predict_pb2.PredictResponse:
    """Ask for an answer, of a version too whose signatures lack `timestamp`, as older ones do.

    A label moves from one version to another between any two requests, so that the server's refusal, and no
    earlier look at what it serves, says which of them is asked. Such a version costs a second request, and a
    third one if the label moves in between.

    Args:
        ask: Sends a request with the seconds that it may take.
        request: What is asked, with the input.
        deadline: Of all requests.

    Raises:
        ServingError: As `ask`, or there is no time left.
    """
    asked = request
    while True:
        refusal = _TIMESTAMP_UNKNOWN if asked is request else _TIMESTAMP_MISSING
        try:
            return await ask(asked, deadline.left())
        except errors.InvalidRequest as error:
            if refusal not in str(error):
                raise
        asked = _without_timestamp(request) if asked is request else request


def _without_timestamp(request: predict_pb2.PredictRequest) -> predict_pb2.PredictRequest:
    """Return the same question about no moment."""
    untold = predict_pb2.PredictRequest()
    untold.CopyFrom(request)
    del untold.inputs[features.TIMESTAMP.name]
    return untold


def _parts(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield at most `ROWS_PER_REQUEST` rows at a time."""
    for start in range(0, len(rows), ROWS_PER_REQUEST):
        yield rows[start : start + ROWS_PER_REQUEST]


def examples_of(inputs: dict[str, np.ndarray], rows: int) -> np.ndarray:
    """Return n rows of raw features as serialized tf.Examples, bytes[n].

    A missing value of a list is left out; any other is written as such, for what parses a single value
    insists on one.

    Args:
        inputs: Of signature `predict`, by the name of the feature.
        rows: n.
    """
    columns = [(feature, inputs[feature.name].tolist()) for feature in features.SERVED]
    serialized = np.empty(rows, object)
    for row in range(rows):
        example = example_pb2.Example()
        for feature, column in columns:
            values = example.features.feature[feature.name]
            if feature.dtype is features.Dtype.INT64:
                values.int64_list.value.append(column[row])
            elif feature.multivalent:
                values.bytes_list.value.extend(value for value in column[row] if value != _NO_STRING)
            else:
                values.bytes_list.value.append(column[row])
        serialized[row] = example.SerializeToString()
    return serialized


def _ids(name: str, values: object) -> np.ndarray:
    """Return ids as int64; a float or a number that is too large is an error, not a near miss."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise errors.InvalidRequest(f"`{name}` must hold 64-bit integers: {error}") from error
    if array.size and (array.dtype.kind not in "iu" or array.max() > np.iinfo(np.int64).max):
        raise errors.InvalidRequest(f"`{name}` must hold 64-bit integers, got {values!r:.80}")
    return array.astype(np.int64)


def _identities(name: str, values: object) -> np.ndarray:
    """Return ids as `_ids`; a negative one, which stands for none, is an error."""
    ids = _ids(name, values)
    if ids.size and ids.min() < 0:
        raise errors.InvalidRequest(f"`{name}` must not be negative, got {ids.min()}")
    return ids


def _moments(name: str, values: object, n: int) -> np.ndarray:
    """Return n moments in seconds, int64[n], of as many, of one for all, or of None, which is now."""
    moments = _ids(name, int(time.time()) if values is None else values)
    if moments.shape not in ((), (n,)):
        raise errors.InvalidRequest(f"`{name}` must be one or of shape [{n}], got {list(moments.shape)}")
    wrong = (moments < 0) & (moments != features.MISSING_INT) | (moments > features.MAX_TIMESTAMP)
    if wrong.any():
        raise errors.InvalidRequest(
            f"`{name}` must be in seconds since 1970-01-01 UTC, at most {features.MAX_TIMESTAMP}, "
            f"got {moments[wrong][0]}"
        )
    return np.broadcast_to(moments, n)


def _list(name: str, values: object) -> np.ndarray:
    """Return a list of ids as int64[n]."""
    ids = _identities(name, values)
    if ids.ndim != 1 and ids.size:
        raise errors.InvalidRequest(f"`{name}` must be of shape [m], got {list(ids.shape)}")
    return ids.ravel()


def _output(
    outputs: dict[str, np.ndarray], feature: features.Feature, dtype: type, length: int
) -> np.ndarray:
    """Return an output that is as the model's contract says."""
    name = feature.name
    if name not in outputs:
        raise errors.UnexpectedAnswer(f"the answer lacks `{name}`; it has {sorted(outputs)}")
    value = outputs[name]
    if value.dtype != dtype or value.shape != (length,):
        raise errors.UnexpectedAnswer(
            f"`{name}` must be {np.dtype(dtype)}[{length}], got {value.dtype}{list(value.shape)}"
        )
    return value
