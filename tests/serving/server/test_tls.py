"""TLS, mutual TLS, and plain text that does not leave the machine by accident."""

import logging
import socket
import urllib.request

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from serving import errors, versions
from serving.server import __main__ as command
from serving.server.config import ServerConfig


@pytest.fixture
def start(start_server, models, tmp_path):
    versions.publish(models[1], tmp_path / "serving", fingerprint="one")
    return lambda **settings: start_server(tmp_path / "serving", **settings)


def _status(channel):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "deepfm"
    with channel:
        answer = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=10)
    return [entry.version for entry in answer.model_version_status]


def _code(channel):
    with pytest.raises(grpc.RpcError) as caught:
        _status(channel)
    return caught.value.code()


def _secure(server, authority, pair=(None, None)):
    chain, private = (None if path is None else path.read_bytes() for path in pair)
    credentials = grpc.ssl_channel_credentials(authority.path.read_bytes(), private, chain)
    return grpc.secure_channel(f"127.0.0.1:{server.port}", credentials)


def test_tls(start, write_ssl_config, authority, make_authority, tmp_path):
    server = start(ssl_config_file=write_ssl_config())
    assert _status(_secure(server, authority)) == [1]
    assert _code(grpc.insecure_channel(f"127.0.0.1:{server.port}")) == grpc.StatusCode.UNAVAILABLE
    other = make_authority(tmp_path, "other")
    assert _code(_secure(server, other)) == grpc.StatusCode.UNAVAILABLE


def test_mutual_tls(start, write_ssl_config, authority, make_authority, tmp_path):
    server = start(ssl_config_file=write_ssl_config(client_verify=True))
    assert _status(_secure(server, authority, authority.issue("client"))) == [1]
    assert _code(_secure(server, authority)) == grpc.StatusCode.UNAVAILABLE
    stranger = make_authority(tmp_path, "other").issue("client")
    assert _code(_secure(server, authority, stranger)) == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("missing", ["server_key", "server_cert", "custom_ca"])
def test_a_missing_text_is_named(start, write_ssl_config, missing):
    path = write_ssl_config(client_verify=True, **{missing: ""})
    with pytest.raises(errors.InvalidRequest, match=f"{path} is no SSL config file: `{missing}` is missing"):
        start(ssl_config_file=path)


def test_texts_that_are_no_pem(start, write_ssl_config):
    path = write_ssl_config(server_key="key")
    with pytest.raises(errors.ServingError, match=f"or {path} holds no valid key and certificate"):
        start(ssl_config_file=path)


def test_plain_text_stays_on_the_machine(monkeypatch):
    message = (
        "`host` 0.0.0.0 can be reached from other machines, and calls would travel in plain text: give "
        "`ssl_config_file`, or `allow_insecure` if that is meant"
    )
    flags = ["--model_base_path=serving", "--host=0.0.0.0"]
    monkeypatch.setattr("sys.argv", ["server", *flags])
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert caught.value.code == message
    assert ServerConfig.from_flags([*flags, "--allow_insecure"]).allow_insecure
    assert ServerConfig.from_flags([*flags, "--allow_insecure=true"]).allow_insecure
    with pytest.raises(ValueError, match="can be reached from other machines"):
        ServerConfig.from_flags([*flags, "--allow_insecure=false"])
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        assert ServerConfig.from_flags([flags[0], f"--host={host}"]).host == host
    for host in ("::", "192.0.2.1", "example.org"):
        with pytest.raises(ValueError, match=f"`host` {host} can be reached"):
            ServerConfig.from_flags([flags[0], f"--host={host}"])


def _rest_answers(host, port):
    with urllib.request.urlopen(f"http://{host}:{port}/v1/models/deepfm", timeout=10) as answer:
        return answer.status == 200


def test_the_host_is_for_both_ports_in_plain_text(start, free_port):
    port = free_port()
    server = start(host="0.0.0.0", allow_insecure=True, rest_api_port=port)
    assert _status(grpc.insecure_channel(f"127.0.0.2:{server.port}")) == [1]
    assert _rest_answers("127.0.0.2", port)


def test_rest_stays_on_loopback_where_grpc_has_tls(start, write_ssl_config, free_port, caplog):
    port = free_port()
    with caplog.at_level(logging.WARNING):
        start(host="0.0.0.0", ssl_config_file=write_ssl_config(), rest_api_port=port)
    assert "REST has no TLS: it listens on 127.0.0.1, not on 0.0.0.0" in caplog.text
    assert _rest_answers("127.0.0.1", port)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", port), timeout=5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rest_api_port": -1}, "`rest_api_port` must be from 0 to 65535, got -1"),
        ({"port": 9000, "rest_api_port": 9000}, "`rest_api_port` must not be `port`, got 9000 for both"),
        ({"rest_api_num_threads": 0}, "`rest_api_num_threads` must be positive, got 0"),
        ({"rest_api_timeout_in_ms": 0}, "`rest_api_timeout_in_ms` must be positive, got 0"),
        ({"monitoring_config_file": "x"}, "`monitoring_config_file` needs `rest_api_port`"),
    ],
)
def test_settings_that_do_not_go_together(settings, message):
    with pytest.raises(ValueError, match=message):
        ServerConfig(model_base_path="serving", **settings)
