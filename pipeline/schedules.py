"""What makes the clock of a machine call a command: a systemd timer, or a line for cron."""

import enum
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

_HOUR = 3  # past the end of the day before, in UTC, with time for late data


class Clock(enum.StrEnum):
    """What can call a command."""

    SYSTEMD = "systemd"
    CRON = "cron"


def systemd(command: Sequence[str], folder: Path, user: str, name: str) -> dict[str, str]:
    """Return the units that run a command each night, by file name.

    A timer never starts a service that still runs, and after a night in which the machine was off it starts
    it once.

    Args:
        command: The command, its program as an absolute path.
        folder: Where it runs, absolute.
        user: Who runs it, and owns what it writes.
        name: Of the units; what no unit's name can hold is escaped as systemd.unit(5) says.
    """
    name = _unit_name(name)
    service = (
        "[Unit]\n"
        f"Description={_unit(shlex.join(command[1:]))}\n"
        "Wants=network-online.target\n"
        "After=network-online.target\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        f"User={user}\n"
        f"WorkingDirectory={_unit(str(folder))}\n"
        f"ExecStart={' '.join(_argument(part) for part in command)}\n"
    )
    timer = (
        "[Unit]\n"
        f"Description=Each night: {name}.service\n"
        "\n"
        "[Timer]\n"
        f"OnCalendar=*-*-* {_HOUR:02}:00:00 UTC\n"
        "Persistent=true\n"
        "\n"
        "[Install]\n"
        "WantedBy=timers.target\n"
    )
    return {f"{name}.service": service, f"{name}.timer": timer}


def cron(command: Sequence[str], folder: Path, log: Path) -> str:
    """Return a line for crontab(5) that runs a command each night, of the machine's time zone.

    Args:
        command: The command, its program as an absolute path.
        folder: Where it runs, absolute.
        log: Takes what it prints, absolute.
    """
    # Without its folder the shell could not open the log, and would not begin.
    text = (
        f"mkdir -p {shlex.quote(str(log.parent))} && cd {shlex.quote(str(folder))} && "
        f"{shlex.join(command)} >> {shlex.quote(str(log))} 2>&1"
    )
    return f"0 {_HOUR} * * * {text.replace('%', chr(92) + '%')}\n"


def _unit_name(text: str) -> str:
    """Escape what is no part of a unit's name, and the @ of a template."""
    return re.sub(
        r"[^A-Za-z0-9:_.-]", lambda found: "".join(f"\\x{byte:02x}" for byte in found[0].encode()), text
    )


def _unit(text: str) -> str:
    """Escape what systemd would expand (systemd.unit(5), specifiers)."""
    return text.replace("%", "%%")


def _argument(text: str) -> str:
    """Quote an argument as systemd.service(5) reads it."""
    escaped = _unit(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"'
