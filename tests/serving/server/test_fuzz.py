"""Ten thousand broken requests: the server goes on, with the codes that it may give, and forgets them."""

import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from serving import wire

ROOT = Path(__file__).parents[3]
ROUND = 5_000  # requests; three rounds
SOCKETS = 150  # connections a round
AT_A_TIME = 50
GROWTH_KIB = 24 << 10  # what allocators may keep; a leak of 5 KiB a request would pass it
PERMITTED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,  # a few bytes ask for an answer over the limit
    grpc.StatusCode.INTERNAL,  # the bytes are no message
}
PREDICTION, MODELS = "/tensorflow.serving.PredictionService/", "/tensorflow.serving.ModelService/"
RELOAD = MODELS + "HandleReloadConfigRequest"
EXAMPLES = """input { example_list_with_context {
  context { features { feature { key: "country" value { bytes_list { value: "NL" } } } } }
  examples { features { feature { key: "x" value { float_list { value: [1, 2] } } } } }
} }"""
SPEC = 'model_spec { name: "conformance" version { value: 2 } signature_name: "%s" }'
VALID = {
    PREDICTION + "Predict": [
        predict_pb2.PredictRequest(),
        'model_spec { name: "conformance" }'
        'inputs { key: "id" value { dtype: DT_INT64 tensor_shape { dim { size: 2 } } int64_val: [4, 6] } }'
        'inputs { key: "name" value { dtype: DT_STRING tensor_shape { dim { size: 2 } } '
        'string_val: ["a", "b"] } } output_filter: ["next", "greeting"]',
    ],
    PREDICTION + "Classify": [classification_pb2.ClassificationRequest(), SPEC % "classify" + EXAMPLES],
    PREDICTION + "Regress": [regression_pb2.RegressionRequest(), SPEC % "regress" + EXAMPLES],
    PREDICTION + "MultiInference": [
        inference_pb2.MultiInferenceRequest(),
        f'tasks {{ {SPEC % "regress"} method_name: "tensorflow/serving/regress" }} {EXAMPLES}',
    ],
    PREDICTION + "GetModelMetadata": [
        get_model_metadata_pb2.GetModelMetadataRequest(),
        SPEC % "" + 'metadata_field: "signature_def"',
    ],
    MODELS + "GetModelStatus": [get_model_status_pb2.GetModelStatusRequest(), SPEC % ""],
    # One that is refused: what takes the models away is no part of this.
    RELOAD: [
        model_management_pb2.ReloadConfigRequest(),
        'config { model_config_list { config { name: "a" base_path: "b" } config { name: "a" } } }',
    ],
}
REQUESTS = {
    method: text_format.Parse(text, message).SerializeToString() for method, (message, text) in VALID.items()
}
# More often what has the most to parse.
METHODS = [PREDICTION + "Predict"] * 4 + list(REQUESTS)


def mutated(random_, request, others):
    """Flip, cut, insert, repeat or splice bytes, once in most cases, up to four times."""
    content = bytearray(request)
    for _ in range(random_.choice((1, 1, 1, 2, 4))):
        at = random_.randrange(len(content) + 1)
        match random_.randrange(6):
            case 0 if at < len(content):
                content[at] ^= 1 << random_.randrange(8)
            case 1 if at < len(content):
                content[at] = random_.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del content[at:]
            case 3:
                content[at:at] = random_.randbytes(random_.randint(1, 8))
            case 4:
                end = min(len(content), at + random_.randint(1, 16))
                content[at:at] = content[at:end]
            case _:
                other = random_.choice(others)
                content[at:] = other[random_.randrange(len(other)) :]
    return bytes(content)


def with_tensor(random_):
    """Ask for an input with a tensor whose shape and content, and now and then its type, are drawn."""
    signature, key, dtype = random_.choice(
        (("divide", "id", 9), ("linear", "x", 1), ("invert", "flag", 10), ("regress", "inputs", 7))
    )
    if random_.random() < 0.2:
        dtype = random_.randrange(140)
    tensor = tensor_pb2.TensorProto(dtype=dtype)
    for _ in range(random_.choice((0, 1, 1, 1, 1, 2, 2, random_.choice((3, 70, 300))))):
        tensor.tensor_shape.dim.add(
            size=random_.choice((0, 1, 1, 1, 2, 2, 3, random_.choice((-1, 1 << 16, 1 << 62))))
        )
    if random_.random() < 0.5:
        tensor.tensor_content = random_.randbytes(random_.choice((1, 2, 3, 8, 16, 24)))
    tensor.int64_val.extend(random_.randint(-(1 << 63), (1 << 63) - 1) for _ in range(random_.randrange(4)))
    tensor.int_val.extend(random_.randint(-(1 << 31), (1 << 31) - 1) for _ in range(random_.randrange(4)))
    tensor.string_val.extend(random_.randbytes(random_.randrange(4)) for _ in range(random_.randrange(4)))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "conformance"
    request.model_spec.signature_name = signature
    request.inputs[key].CopyFrom(tensor)
    return request.SerializeToString()


def reconfigures(request):
    """Whether a reload would be accepted, and other requests find no models."""
    try:
        message = model_management_pb2.ReloadConfigRequest.FromString(request)
    except DecodeError:
        return False
    models = message.config.model_config_list.config
    return (
        message.config.WhichOneof("config") == "model_config_list"
        and len({model.name for model in models}) == len(models)
        and all(model.base_path.startswith("/") for model in models)
    )


def send_round(channel, seed):
    """Send a round of mutated requests; return how often each code came."""
    random_ = random.Random(seed)
    methods = {method: channel.unary_unary(method) for method in REQUESTS}
    codes, running = {}, []
    for _ in range(ROUND):
        method = random_.choice(METHODS)
        if method == PREDICTION + "Predict" and random_.random() < 0.5:
            request = with_tensor(random_)
        else:
            request = mutated(random_, REQUESTS[method], list(REQUESTS.values()))
            if method == RELOAD and reconfigures(request):
                request = REQUESTS[RELOAD]
        running.append((method, request, methods[method].future(request, timeout=30)))
        if len(running) == AT_A_TIME:
            _collect(running, codes)
    _collect(running, codes)
    return codes


def _collect(running, codes):
    for method, request, future in running:
        error = future.exception()
        code = grpc.StatusCode.OK if error is None else error.code()
        assert code in PERMITTED, (method, request.hex(), error.details())
        codes[code] = codes.get(code, 0) + 1
    running.clear()


def send_bytes(port, seed):
    """Connect and send what is not HTTP/2, or stops being it."""
    random_ = random.Random(seed)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    for _ in range(SOCKETS):
        start = random_.choice((b"", preface, preface + settings, b"GET / HTTP/1.1\r\n\r\n"))
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            try:
                connection.sendall(start + random_.randbytes(random_.randint(0, 300)))
            except OSError:  # it has hung up, which is right
                continue


def resident_kib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.fixture
def process(tmp_path, conformance_models):
    """A server in a process of its own, and its port."""
    config_file = conformance_models.write(tmp_path / "models", tmp_path / "models")
    command = [
        sys.executable, "-m", "serving.server", "--port=0", f"--model_config_file={config_file}",
        "--allow_version_labels_for_unavailable_models=true", "--file_system_poll_wait_seconds=0",
        "--grpc_max_threads=4",
    ]  # fmt: skip
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True) as running,
    ):
        try:
            address = running.stdout.readline().strip()
            assert address, (tmp_path / "log").read_text()
            yield running, int(address.rpartition(":")[2])
        finally:
            running.kill()


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="resident memory is read from /proc")
def test_broken_requests(process):
    running, port = process
    resident = []
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=wire.MESSAGE_SIZE_OPTIONS) as channel:
        # The first round fills what is filled once: arenas, thread pools, the callables of signatures.
        for seed in range(3):
            codes = send_round(channel, seed)
            send_bytes(port, seed)
            resident.append(resident_kib(running.pid))
            # Mutations that are valid and such that are no message: the rounds reach both ends.
            assert codes[grpc.StatusCode.OK] > ROUND / 100
            assert codes[grpc.StatusCode.INTERNAL] > ROUND / 100
            assert codes[grpc.StatusCode.INVALID_ARGUMENT] > ROUND / 100
            assert running.poll() is None
            answer = channel.unary_unary(
                PREDICTION + "Predict", response_deserializer=predict_pb2.PredictResponse.FromString
            )(REQUESTS[PREDICTION + "Predict"], timeout=20)
            assert list(answer.outputs["next"].int64_val) == [6, 8]
    assert resident[2] - resident[1] < GROWTH_KIB, resident
