"""TensorFlow Serving's REST API (https://www.tensorflow.org/tfx/serving/api_rest), on the gRPC services.

`RestApi` translates: a path and a body become a request of PredictionService or ModelService, whose answer
becomes JSON. So both protocols answer alike. `RestServer` is its HTTP, on an event loop in its own thread.
"""

import asyncio
import concurrent.futures
import logging
import re
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any, NoReturn

import grpc
from aiohttp import web
from google.protobuf import json_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving import errors, wire
from serving.server import json_tensor, metrics
from serving.server.recording import Call, Record, spec_of_call

_logger = logging.getLogger(__name__)

_MODEL = r"/v1/models(?:/(?P<name>[^/:]+))?(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"{_MODEL}:(?P<verb>classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(rf"{_MODEL}(?P<metadata>/metadata)?", re.IGNORECASE)
_SIGNATURE_DEF = "signature_def"
_DEFAULT_SIGNATURE = "serving_default"
_MAX_VERSION = (1 << 63) - 1

_HTTP_STATUS = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
"""TensorFlow Serving's choice; every other code is 500."""


class RestApi:
    """Answers a path and a body with JSON; it does no I/O.

    Args:
        prediction_service: Answers predict, classify, regress and metadata.
        model_service: Answers status.
    """

    def __init__(
        self,
        prediction_service: prediction_service_pb2_grpc.PredictionServiceServicer,
        model_service: model_service_pb2_grpc.ModelServiceServicer,
    ) -> None:
        self._predictions = prediction_service
        self._models = model_service

    def route(self, verb: str, path: str, spec: model_pb2.ModelSpec) -> str:
        """Return the gRPC method that a path means.

        Args:
            verb: HTTP's.
            path: Of the URL, still encoded.
            spec: Gets the model's name, version or label.

        Raises:
            ModelNotFound: The path is none of the API's.
            InvalidRequest: It is, but means no method.
        """
        if not path.lower().startswith("/v1/"):
            raise errors.ModelNotFound(f"Not Found: {path}")
        match = {"POST": _POST, "GET": _GET}.get(verb, _GET).fullmatch(path)
        if match is None or verb not in ("POST", "GET"):
            raise errors.InvalidRequest(f"Malformed request: {verb} {path}")
        if match["name"] is None:
            raise errors.InvalidRequest("Missing model name in request.")
        spec.name = _unquoted(match["name"])
        if match["version"] is not None:
            if int(match["version"]) > _MAX_VERSION:
                raise errors.InvalidRequest(f"Failed to convert version: {match['version']} to numeric.")
            spec.version.value = int(match["version"])
        if match["label"] is not None:
            spec.version_label = _unquoted(match["label"])
        if verb == "POST":
            return match["verb"].capitalize()
        return "GetModelMetadata" if match["metadata"] else "GetModelStatus"

    def answer(self, api: str, spec: model_pb2.ModelSpec, body: bytes, context: grpc.ServicerContext) -> str:
        """Answer one request.

        Args:
            api: As `route` returned it.
            spec: As `route` filled it in; gets the signature, and the version that answered.
            body: As HTTP brought it.
            context: Of the call; it is aborted if the request fails.

        Returns:
            JSON.
        """
        answers = {
            "Predict": self._predict,
            "Classify": self._classify,
            "Regress": self._regress,
            "GetModelMetadata": self._metadata,
            "GetModelStatus": self._status,
        }
        try:
            return answers[api](spec, body, context)
        except errors.InvalidRequest as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except RecursionError:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "JSON Parse error: nested too deeply")
        raise AssertionError("`abort` raises")

    def _predict(self, spec: model_pb2.ModelSpec, body: bytes, context: grpc.ServicerContext) -> str:
        document = json_tensor.parse(body)
        spec.signature_name = json_tensor.signature_name(document)
        request = predict_pb2.PredictRequest(model_spec=spec)
        name = spec.signature_name or _DEFAULT_SIGNATURE
        signatures = self._signatures(spec, context).signature_def
        if name not in signatures:
            raise errors.InvalidRequest(f'Serving signature name: "{name}" not found in signature def')
        row = json_tensor.fill_inputs(document, signatures[name].inputs, request)
        response = self._predictions.Predict(request, context)
        spec.CopyFrom(spec_of_call(request, response))
        return json_tensor.predict_json(response.outputs, row=row)

    def _classify(self, spec: model_pb2.ModelSpec, body: bytes, context: grpc.ServicerContext) -> str:
        document = json_tensor.parse(body)
        spec.signature_name = json_tensor.signature_name(document)
        request = classification_pb2.ClassificationRequest(model_spec=spec)
        json_tensor.fill_examples(document, request.input)
        response = self._predictions.Classify(request, context)
        spec.CopyFrom(spec_of_call(request, response))
        return json_tensor.classify_json(response.result)

    def _regress(self, spec: model_pb2.ModelSpec, body: bytes, context: grpc.ServicerContext) -> str:
        document = json_tensor.parse(body)
        spec.signature_name = json_tensor.signature_name(document)
        request = regression_pb2.RegressionRequest(model_spec=spec)
        json_tensor.fill_examples(document, request.input)
        response = self._predictions.Regress(request, context)
        spec.CopyFrom(spec_of_call(request, response))
        return json_tensor.regress_json(response.result)

    def _metadata(self, spec: model_pb2.ModelSpec, _: bytes, context: grpc.ServicerContext) -> str:
        signatures = self._signatures(spec, context)
        told = model_pb2.ModelSpec(name=spec.name, version=spec.version)
        # The line breaks are TensorFlow Serving's, which puts two messages together.
        return (
            f'{{\n"model_spec":{_message_json(told, keep_names=True)},\n'
            f'"metadata": {{"signature_def": {_message_json(signatures, keep_names=True)}}}\n}}\n'
        )

    def _status(self, spec: model_pb2.ModelSpec, _: bytes, context: grpc.ServicerContext) -> str:
        if spec.version_label:
            # GetModelStatus passes over labels.
            asked = get_model_metadata_pb2.GetModelMetadataRequest(
                model_spec=spec, metadata_field=["signature_def"]
            )
            spec.version.value = self._predictions.GetModelMetadata(asked, context).model_spec.version.value
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
        return _message_json(self._models.GetModelStatus(request, context), keep_names=False)

    def _signatures(
        self, spec: model_pb2.ModelSpec, context: grpc.ServicerContext
    ) -> get_model_metadata_pb2.SignatureDefMap:
        """Return the signatures of a version, and note in `spec` which it is if that was left open."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=spec, metadata_field=[_SIGNATURE_DEF]
        )
        response = self._predictions.GetModelMetadata(request, context)
        spec.version.CopyFrom(response.model_spec.version)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[_SIGNATURE_DEF].Unpack(signatures)
        return signatures


class RestServer:
    """Serves a `RestApi` by HTTP; its port is taken when it is made.

    Args:
        api: What answers.
        record: Takes a call once it is answered.
        host: Address to listen on.
        port: 1 to 65535.
        threads: Requests answered at a time, at least 1.
        timeout: Seconds after which a request is answered with DEADLINE_EXCEEDED.
        pages: Text to show, by path, beside the API.

    Raises:
        ServingError: The port is taken.
    """

    def __init__(
        self,
        api: RestApi,
        record: Record,
        *,
        host: str,
        port: int,
        threads: int,
        timeout: float,
        pages: dict[str, Callable[[], bytes]],
    ) -> None:
        self._api = api
        self._record = record
        self._timeout = timeout
        self._pages = pages
        try:
            self._socket = socket.create_server(
                (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
            )
        except OSError as error:
            raise errors.ServingError(f"port {port} of {host} cannot be taken: {error}") from error
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="rest")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rest", daemon=True)
        self._running: set[asyncio.Task[Any]] = set()
        self._closing = False

    def start(self) -> None:
        """Answer requests, those that came meanwhile too."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()

    def stop(self, grace: float) -> None:
        """Take no more requests, and let those that run end.

        Args:
            grace: Seconds after which connections are cut.
        """
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(grace), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        self._socket.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _open(self) -> None:
        # Its limit is for what is left of a body once it is unpacked.
        app = web.Application(client_max_size=wire.MAX_MESSAGE_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        self._site = web.SockSite(self._runner, self._socket)
        await self._site.start()

    async def _close(self, grace: float) -> None:
        self._closing = True
        await self._site.stop()
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        # A connection that is kept open may bring more.
        if self._closing:
            response = web.json_response({"error": "The server is shutting down"}, status=503)
            response.force_close()
            return response
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            path = request.rel_url.raw_path
            if request.method == "GET" and path in self._pages:
                text = await self._loop.run_in_executor(None, self._pages[path])
                return web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE})
            return await self._answer(request, path)
        finally:
            self._running.discard(task)

    async def _answer(self, request: web.Request, path: str) -> web.Response:
        start = time.perf_counter()
        context = _Context(_peer(request), time.monotonic() + self._timeout)
        spec = model_pb2.ModelSpec()
        api, body, text = "", b"", ""
        code, http_status = grpc.StatusCode.OK, 200
        try:
            api = self._api.route(request.method, path, spec)
            body = await request.read()
            text = await asyncio.wait_for(
                self._loop.run_in_executor(self._pool, self._api.answer, api, spec, body, context),
                self._timeout,
            )
        except errors.InvalidRequest as error:
            code, text = grpc.StatusCode.INVALID_ARGUMENT, json_tensor.error_json(str(error))
        except errors.ModelNotFound as error:
            code, text = grpc.StatusCode.NOT_FOUND, json_tensor.error_json(str(error))
        except _Aborted as error:
            code, text = error.code, json_tensor.error_json(error.details)
        except web.HTTPRequestEntityTooLarge:
            code, http_status = grpc.StatusCode.RESOURCE_EXHAUSTED, 413
            text = json_tensor.error_json(f"The body is larger than {wire.MAX_MESSAGE_BYTES} bytes")
        except TimeoutError:
            context.cancel()
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            text = json_tensor.error_json("Timed out waiting for notification")
        # The servicers of generated code raise it for what they do not implement.
        except NotImplementedError as error:
            code, text = grpc.StatusCode.UNIMPLEMENTED, json_tensor.error_json(str(error))
        except Exception:
            _logger.exception("%s %s", request.method, path)
            code, text = grpc.StatusCode.UNKNOWN, json_tensor.error_json("Internal error")
        if http_status == 200:
            http_status = _HTTP_STATUS.get(code, 500)
        written = text.encode(errors="surrogateescape")
        self._record(
            Call(
                peer=context.peer(),
                entrypoint="REST",
                api=api,
                method=f"{request.method} {path}",
                model=spec.name,
                version=spec.version.value if spec.HasField("version") else None,
                signature=spec.signature_name,
                code=code,
                seconds=time.perf_counter() - start,
                bytes_in=len(body),
                bytes_out=len(written),
            )
        )
        return web.Response(status=http_status, body=written, content_type="application/json")


class _Aborted(Exception):  # noqa: N818 - an end that a servicer asked for, as gRPC's own
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class _Context(grpc.ServicerContext):
    """What a servicer may ask about a call that came by REST, and do to it.

    Args:
        peer: Who called.
        deadline: On the monotonic clock, in seconds.
    """

    def __init__(self, peer: str, deadline: float) -> None:
        self._peer = peer
        self._deadline = deadline
        self._active = True
        self._callbacks: list[Callable[[], None]] = []

    def is_active(self) -> bool:
        return self._active

    def time_remaining(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def cancel(self) -> None:
        self._active = False
        for callback in self._callbacks:
            callback()

    def add_callback(self, callback: Callable[[], None]) -> bool:
        self._callbacks.append(callback)
        return self._active

    def peer(self) -> str:
        return self._peer

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        raise _Aborted(code, details)

    def abort_with_status(self, status: grpc.Status) -> NoReturn:
        raise _Aborted(status.code, status.details)

    def set_code(self, code: grpc.StatusCode) -> None:
        """Do nothing: the exception that follows tells."""

    def set_details(self, details: str) -> None:
        """Do nothing: the exception that follows tells."""

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def peer_identities(self) -> None:
        return None

    def peer_identity_key(self) -> None:
        return None

    def auth_context(self) -> dict[str, list[bytes]]:
        return {}

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Do nothing: HTTP's headers are the API's own."""

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Do nothing: HTTP's headers are the API's own."""


def _unquoted(text: str) -> str:
    try:
        return urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise errors.InvalidRequest(f"Failed to decode: {text}") from error


def _message_json(message: Any, *, keep_names: bool) -> str:
    return json_format.MessageToJson(
        message,
        indent=1,
        always_print_fields_with_no_presence=True,
        preserving_proto_field_name=keep_names,
    )


def _peer(request: web.Request) -> str:
    """Return who calls, as gRPC writes it."""
    address = request.transport.get_extra_info("peername") if request.transport is not None else None
    if not address:
        return ""
    return f"ipv6:[{address[0]}]:{address[1]}" if ":" in address[0] else f"ipv4:{address[0]}:{address[1]}"
