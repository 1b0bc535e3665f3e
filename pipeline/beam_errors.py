"""What Beam makes of an error."""

import re


def own_words(error: BaseException) -> str:
    """Return an error's own words, without those in which Beam says where it was raised."""
    return re.sub(r"\s*\[while running '.*?'\]", "", str(error), flags=re.DOTALL).strip()
