"""Connections over TLS to a real gRPC server, with certificates made here."""

import re
from concurrent import futures

import grpc
import pytest

from serving import errors
from serving.client import Client, TlsConfig
from serving.protos import prediction_service_pb2_grpc


@pytest.fixture
def start_tls_server(authority, scripted):
    """Start a server whose certificate the authority signed; `mutual` asks for the client's."""
    servers = []

    class Scripted(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802
            return scripted().answer(request, timeout=0)

    def start(mutual):
        chain, private = authority.issue("server")
        credentials = grpc.ssl_server_credentials(
            [(private.read_bytes(), chain.read_bytes())],
            root_certificates=authority.path.read_bytes() if mutual else None,
            require_client_auth=mutual,
        )
        server = grpc.server(futures.ThreadPoolExecutor(2))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Scripted(), server)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(0).wait()


def test_the_server_shows_its_certificate(authority, start_tls_server, make_client):
    target = start_tls_server(mutual=False)
    with make_client(target=target, tls=TlsConfig(root_certificates=authority.path)) as client:
        assert client.predict([(3, 2), (4, 1)]).tolist() == [3.5, 4.25]


def test_both_show_their_certificates(authority, start_tls_server, make_client):
    target = start_tls_server(mutual=True)
    chain, private = authority.issue("client")
    tls = TlsConfig(root_certificates=authority.path, certificate_chain=chain, private_key=private)
    with make_client(target=target, tls=tls) as client:
        assert client.predict([(3, 2), (4, 1)]).tolist() == [3.5, 4.25]


def test_a_client_without_a_certificate_is_refused(authority, start_tls_server, make_client):
    target = start_tls_server(mutual=True)
    with (
        make_client(target=target, tls=TlsConfig(root_certificates=authority.path), timeout=3) as client,
        pytest.raises(errors.ServerUnavailable, match=f"no server at {target}, or it and this client do not"),
    ):
        client.predict([(3, 2)])


def test_a_client_of_another_authority_is_refused(authority, make_authority, start_tls_server, tmp_path):
    target = start_tls_server(mutual=True)
    chain, private = make_authority(tmp_path, "other").issue("client")
    tls = TlsConfig(root_certificates=authority.path, certificate_chain=chain, private_key=private)
    with (
        Client(target, tls=tls, timeout=3) as client,
        pytest.raises(errors.ServerUnavailable, match="certificates"),
    ):
        client.predict([(3, 2)])


def test_a_server_of_another_authority_is_not_asked(make_authority, start_tls_server, tmp_path):
    target = start_tls_server(mutual=False)
    tls = TlsConfig(root_certificates=make_authority(tmp_path, "other").path)
    with (
        Client(target, tls=tls, timeout=3) as client,
        pytest.raises(errors.ServerUnavailable, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.predict([(3, 2)])


def test_plain_text_is_no_tls(start_tls_server):
    target = start_tls_server(mutual=False)
    with (
        Client(target, timeout=3) as client,
        pytest.raises(errors.ServerUnavailable, match=f"no server at {target};"),
    ):
        client.predict([(3, 2)])


@pytest.mark.parametrize("missing", ["root_certificates", "certificate_chain", "private_key"])
def test_a_missing_file_is_named(authority, make_client, missing):
    chain, private = authority.issue("client")
    files = {"root_certificates": authority.path, "certificate_chain": chain, "private_key": private}
    files[missing] = authority.folder / "absent.pem"
    with pytest.raises(
        FileNotFoundError, match=re.escape(f"`{missing}`: there is no file {files[missing]}") + "$"
    ):
        make_client(tls=TlsConfig(**files))


@pytest.mark.parametrize("given", ["certificate_chain", "private_key"])
def test_a_certificate_needs_its_key(authority, given):
    with pytest.raises(
        ValueError, match=f"^`certificate_chain` and `private_key` belong together, got {given} alone: "
    ):
        TlsConfig(**{given: authority.path})
