"""Run the server: `python -m serving.server`, with TensorFlow Serving's flags."""

import logging
import sys

from serving import errors
from serving.server.config import ServerConfig
from serving.server.server import serve


def main() -> None:
    """Serve as the flags say, and print the address once the server answers."""
    try:
        config = ServerConfig.from_flags()
    except ValueError as error:
        sys.exit(str(error))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # It reports every restored file, and that the Session loader is deprecated.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        serve(config, lambda server: print(f"{config.host}:{server.port}", flush=True))
    except errors.ServingError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
