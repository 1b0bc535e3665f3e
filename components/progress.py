"""How a long node says how far it is: through logging, so that every runner can show it."""

import logging

LOGGER = logging.getLogger("deepfm.progress")
LOGGER.setLevel(logging.INFO)


def report(fraction: float, text: str) -> None:
    """Log that the running node is at `fraction` (0 to 1) of its work, with a few words on it."""
    LOGGER.info("%3.0f%% %s", 100 * fraction, text, extra={"progress": (fraction, text)})
