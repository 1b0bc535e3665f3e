"""Take a running server to the release that holds: `python -m serving.follower`, one beside each server.

TensorFlow Serving moves labels before it loads, and refuses the whole of a configuration that moves a label
to a version which does not serve yet (`ServerCore::ReloadConfig` and `UpdateModelVersionLabelMap` in its
server_core.cc). So a release takes two configurations: the new version beside those that serve, then, once it
is available, the labels, and with them the end of what is no longer wanted. No request fails in between, and
a version that cannot be loaded never gets a label.

What to do next is read off the server and the releases each time; a follower or a server that was killed
leaves nothing to repair.
"""

import argparse
import logging
import os
import signal
import threading
from pathlib import Path

import grpc
from google.protobuf import text_format

from serving import errors, release, versions
from serving.control import ModelControl
from serving.protos import model_server_config_pb2
from serving.server.config_protos import read_ssl_config

_logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0


class Follower:
    """Knows what a server was told last, and what it is to be told next.

    Args:
        base_path: The serving folder, at the path where the server sees it.
        control: A connection to the server.
        model_name: Name that requests ask for.
    """

    def __init__(
        self, base_path: str | Path, control: ModelControl, model_name: str = versions.MODEL_NAME
    ) -> None:
        self._base_path = base_path
        self._control = control
        self._model_name = model_name
        self._told = model_server_config_pb2.ModelServerConfig()
        self._reached: object = None
        self._failed: set[tuple[int, str]] = set()

    def step(self) -> bool:
        """Take the server one step on.

        Returns:
            Whether its labels are where the release that holds has them.

        Raises:
            ServerUnavailable: No server answers.
            ServingError: The server refused.
            ValueError: As `release.releases`.
        """
        config = release.models_config(self._base_path, self._model_name)
        (wanted,) = config.model_config_list.config
        if not wanted.version_labels:
            return True  # nothing was released: the server follows the folder by itself
        try:
            states = self._control.states(self._model_name)
        except errors.ModelNotFound:
            states = {}
        # A server that was started again since has begun with the release that holds.
        if self._reached == (config, states):
            return True
        labels = self._control.labels(self._model_name, wanted.version_labels)
        next_labels = {
            label: version if version in states and states[version].serves else labels.get(label)
            for label, version in wanted.version_labels.items()
        }
        reached = {label: version for label, version in next_labels.items() if version is not None}
        loaded = {*wanted.model_version_policy.specific.versions, *reached.values()}
        told = release.server_config(self._model_name, Path(wanted.base_path), sorted(loaded), reached)
        if told != self._told or reached != labels or not loaded <= states.keys():
            self._control.reload(told)
            self._told = told
            _logger.info(
                "told %s: %s", self._control.target, text_format.MessageToString(told, as_one_line=True)
            )
        for version in wanted.version_labels.values():
            self._report_failure(version, states[version].error if version in states else "")
        if labels != dict(wanted.version_labels):
            return False
        self._reached = (config, states)
        return True

    def _report_failure(self, version: int, error: str) -> None:
        """Log once that a version could not be loaded."""
        if error and (version, error) not in self._failed:
            self._failed.add((version, error))
            _logger.error("version %d could not be loaded, the labels stay: %s", version, error)


def main() -> None:
    """Follow until SIGTERM, SIGINT or the end of the process that started this one."""
    parser = argparse.ArgumentParser(prog="python -m serving.follower", description=main.__doc__)
    parser.add_argument("--target", required=True, help="host:port of the server's gRPC")
    parser.add_argument("--model_base_path", required=True, type=Path, help="folder of the numbered versions")
    parser.add_argument("--model_name", default=versions.MODEL_NAME, help="name that requests ask for")
    parser.add_argument("--ssl_config_file", type=Path, help="the server's own, where it speaks TLS")
    flags = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    parent = os.getppid()
    credentials = None if flags.ssl_config_file is None else _credentials(flags.ssl_config_file)
    with ModelControl(flags.target, credentials=credentials) as control:
        follower = Follower(flags.model_base_path, control, flags.model_name)
        doubt = ""
        while os.getppid() == parent and not stop.wait(_POLL_SECONDS):
            before, doubt = doubt, ""
            try:
                follower.step()
            except errors.ServerUnavailable as error:
                _logger.debug("%s", error)  # it starts, or it is for whoever started it to say
            except (errors.ServingError, ValueError, OSError) as error:
                doubt = str(error)
            if doubt and doubt != before:
                _logger.warning("%s; trying on", doubt)


def _credentials(ssl_config_file: Path) -> grpc.ChannelCredentials:
    """Return what a server accepts by its own configuration."""
    ssl = read_ssl_config(ssl_config_file)
    return grpc.ssl_channel_credentials(
        root_certificates=(ssl.custom_ca or ssl.server_cert).encode(),
        private_key=ssl.server_key.encode(),
        certificate_chain=ssl.server_cert.encode(),
    )


if __name__ == "__main__":
    main()
