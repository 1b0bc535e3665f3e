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
import sys
import threading
from pathlib import Path

import grpc
from google.protobuf import text_format

from serving import errors, release
from serving.control import ModelControl
from serving.protos import model_server_config_pb2
from serving.server.config_protos import read_ssl_config

_logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_AWAY_STEPS = 30


class Follower:
    """Knows what a server was told last, and what it is to be told next.

    Args:
        base_path: The serving folder, at the path where the server sees it.
        control: A connection to the server.
    """

    def __init__(self, base_path: str | Path, control: ModelControl) -> None:
        self._base_path = Path(base_path).absolute()
        self._control = control
        self._told = model_server_config_pb2.ModelServerConfig()
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
        config = release.models_config(self._base_path)
        (wanted,) = config.model_config_list.config
        log = wanted.logging_config if wanted.HasField("logging_config") else None
        if not wanted.version_labels:
            return True  # nothing was released: the server follows the folder by itself
        try:
            states = self._control.states(wanted.name)
        except errors.ModelNotFound:
            states = {}
        labels = self._control.labels(wanted.name, wanted.version_labels)
        serving = {version for version, status in states.items() if status.serves}
        loaded = set(wanted.model_version_policy.specific.versions)
        chosen = dict(wanted.version_labels)
        if chosen[release.STABLE] not in serving:
            fallbacks = release.fallbacks(self._base_path)
            instead = labels.get(release.STABLE) or next((v for v in fallbacks if v in serving), None)
            if instead is not None:
                chosen[release.STABLE] = instead
            elif chosen[release.STABLE] in states and states[chosen[release.STABLE]].error:
                loaded.update([v for v in fallbacks if v not in states or not states[v].error][:1])
        if chosen[release.CANARY] not in serving:
            chosen[release.CANARY] = labels.get(release.CANARY) or chosen[release.STABLE]
        loaded.update(chosen.values())
        told = release.server_config(wanted.name, self._base_path, sorted(loaded), chosen, log)
        reached = {label: version for label, version in chosen.items() if version in serving}
        gone = {v for v in loaded if v not in states or (states[v].ended and not states[v].error)}
        if told != self._told or reached != labels or gone:
            self._control.reload(told)
            self._told = told
            shown = text_format.MessageToString(told, as_one_line=True)
            _logger.info("told %s: %s", self._control.target, shown)
        for version in wanted.version_labels.values():
            self._report_failure(version, states[version].error if version in states else "")
        return labels == dict(wanted.version_labels)

    def _report_failure(self, version: int, error: str) -> None:
        """Log once that a version could not be loaded."""
        if error and (version, error) not in self._failed:
            self._failed.add((version, error))
            _logger.error("version %d could not be loaded, an earlier one goes on: %s", version, error)


def main() -> None:
    """Follow until SIGTERM, SIGINT or the end of the process that started this one."""
    parser = argparse.ArgumentParser(prog="python -m serving.follower", description=main.__doc__)
    parser.add_argument("--target", required=True, help="host:port of the server's gRPC")
    parser.add_argument("--model_base_path", required=True, type=Path, help="folder of the numbered versions")
    parser.add_argument("--ssl_config_file", type=Path, help="the server's own, where it speaks TLS")
    flags = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    parent = os.getppid()
    try:
        credentials = None if flags.ssl_config_file is None else _credentials(flags.ssl_config_file)
    except errors.InvalidRequest as error:
        sys.exit(str(error))
    with ModelControl(flags.target, credentials=credentials) as control:
        follower = Follower(flags.model_base_path, control)
        doubt = ""
        away = 0
        while os.getppid() == parent and not stop.wait(_POLL_SECONDS):
            before, doubt = doubt, ""
            away += 1
            try:
                follower.step()
                away = 0
            except errors.ServerUnavailable as error:
                # It may just be starting.
                if away == _AWAY_STEPS:
                    _logger.warning("releases do not reach the server: %s; trying on", error)
            except (errors.ServingError, ValueError, OSError) as error:
                doubt = str(error)
            if doubt and doubt != before:
                _logger.warning("%s; trying on", doubt)


def _credentials(ssl_config_file: Path) -> grpc.ChannelCredentials:
    """Return what a server accepts by its own configuration.

    Its certificate has to be for localhost too and, where clients need one, for clients.
    """
    ssl = read_ssl_config(ssl_config_file)
    return grpc.ssl_channel_credentials(
        root_certificates=(ssl.custom_ca or ssl.server_cert).encode(),
        private_key=ssl.server_key.encode(),
        certificate_chain=ssl.server_cert.encode(),
    )


if __name__ == "__main__":
    main()
