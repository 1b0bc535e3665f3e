"""The Compose file: against the Compose Specification's schema, and its health check in a real shell."""

import http.server
import importlib.resources
import json
import subprocess
import threading

import jsonschema
import pytest

from serving.production import model_server
from serving.production.compose import compose

SCHEMA = json.loads(
    importlib.resources.files("check_jsonschema")
    .joinpath("builtin_schemas/vendor/compose-spec.json")
    .read_text(encoding="utf-8")
)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def service(config):
    return compose(config)["services"]["tensorflow-serving"]


def test_it_is_valid_by_the_published_schema(config):
    VALIDATOR.validate(compose(config))


def test_the_schema_finds_what_is_wrong(config):
    wrong = compose(config)
    wrong["services"]["tensorflow-serving"]["cap_dropp"] = ["ALL"]
    with pytest.raises(jsonschema.ValidationError, match="cap_dropp"):
        VALIDATOR.validate(wrong)


def test_the_serving_folder_is_mounted_where_models_config_says(config):
    (volume,) = service(config)["volumes"]
    assert (volume["source"], volume["target"]) == ("/srv/ml-1m/serving", "/srv/ml-1m/serving")
    assert (volume["type"], volume["read_only"]) == ("bind", True)
    text = model_server.models_config(config.model_name, config.base_path, config.stable, config.canary)
    assert 'base_path: "/srv/ml-1m/serving/deepfm"' in text
    assert "--model_config_file=/srv/ml-1m/serving/models.config" in service(config)["command"]


def test_the_files_are_mounted_where_the_flags_say(config):
    mounted = {entry["target"]: entry["source"] for entry in service(config)["configs"]}
    sources = {source: entry["file"] for source, entry in compose(config)["configs"].items()}
    assert {target: sources[source] for target, source in mounted.items()} == {
        "/etc/tensorflow-serving/monitoring.config": "./monitoring.config",
        "/etc/tensorflow-serving/batching.config": "./batching.config",
    }


def test_the_container_is_confined(config):
    only = service(config)
    assert only["image"] == config.pinned_image
    assert (only["user"], only["read_only"], only["cap_drop"]) == ("10001:10001", True, ["ALL"])
    assert only["security_opt"] == ["no-new-privileges:true"]
    assert only["deploy"]["resources"]["limits"] == {"cpus": "1.5", "memory": "1500m"}
    assert {(port["host_ip"], port["published"], port["target"]) for port in only["ports"]} == {
        ("127.0.0.1", "9500", 9500),
        ("127.0.0.1", "9501", 9501),
    }
    assert (only["entrypoint"], only["command"]) == (
        ["tensorflow_model_server"],
        model_server.arguments(config),
    )


def test_the_follower_is_confined_alike_and_finds_the_server(config):
    follower = compose(config)["services"]["follower"]
    assert follower["image"] == "registry.example/deepfm:1.0"
    assert follower["entrypoint"] == model_server.follower_command(config, "tensorflow-serving")
    assert "--target=tensorflow-serving:9500" in follower["entrypoint"]
    for setting in ("user", "read_only", "cap_drop", "security_opt", "volumes", "restart"):
        assert follower[setting] == service(config)[setting]


@pytest.fixture
def rest():
    """A server that answers a model's status as TensorFlow Serving does, with a state to be set."""

    class Handler(http.server.BaseHTTPRequestHandler):
        state = "AVAILABLE"

        def do_GET(self):
            status = {
                "model_version_status": [
                    {
                        "version": "12",
                        "state": Handler.state,
                        "status": {"error_code": "OK", "error_message": ""},
                    }
                ]
            }
            found = self.path == "/v1/models/deepfm"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(json.dumps(status if found else {"error": "no"}, indent=1).encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, Handler
    server.shutdown()
    server.server_close()


def healthy(config, port):
    kind, *command = service(config)["healthcheck"]["test"]
    assert kind == "CMD"
    command[-1] = command[-1].replace(f"/{config.rest_api_port} ", f"/{port} ")
    return subprocess.run(command, check=False, capture_output=True, timeout=10).returncode == 0


def test_the_health_check_asks_for_an_available_version(config, rest):
    port, handler = rest
    assert healthy(config, port)
    for state in ("LOADING", "UNLOADING", "END"):
        handler.state = state
        assert not healthy(config, port)


def test_the_health_check_fails_where_nothing_listens(config, unused_port):
    assert not healthy(config, unused_port)


@pytest.fixture
def unused_port():
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.server_close()
    return server.server_port
