"""What the figures of a benchmark are of."""

import os
import re
from pathlib import Path


def machine() -> str:
    """Return the cores that this process may use, their kind, and the memory of the machine, in words."""
    kind = re.search(r"^model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    cores = f"{len(os.sched_getaffinity(0))} cores" + (f" ({kind[1].strip()})" if kind else "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{cores}, {memory / 2**30:.0f} GiB"
