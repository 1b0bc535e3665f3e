"""Run the server: `python -m serving.server`, with TensorFlow Serving's flags."""

import logging
import sys

from serving import errors
from serving.quiet_imports import quiet_imports

with quiet_imports():
    from serving.server.config import ServerConfig
    from serving.server.server import Server, serve


def main() -> None:
    """Serve as the flags say, and print what and where once the server answers."""
    try:
        config = ServerConfig.from_flags()
    except ValueError as error:
        sys.exit(str(error))
    # A load runs much Python: with the usual 5 ms for each turn, requests would feel it.
    sys.setswitchinterval(0.0005)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # It reports every restored file, and that the Session loader is deprecated.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        serve(config, _ready)
    except errors.ServingError as error:
        sys.exit(str(error))


def _ready(server: Server) -> None:
    for name, manager in server.core.models.items():
        version = manager.version
        what = f"version {version}" if version is not None else f"no version yet of {manager.base_path}"
        print(f"serving {name} {what} at {server.config.host}:{server.port}", flush=True)


if __name__ == "__main__":
    main()
