import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "switching.py"


def test_no_request_fails_or_gets_a_wrong_answer_while_versions_switch_and_the_server_is_killed(models):
    command = [sys.executable, SCRIPT, *models.values(), "--seconds=16", "--rate=10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert (figures["failed"], figures["wrong answers"], figures["switches"]) == (0, 0, 10)
    # Ten a second from each of four, over the switches and while the server was away.
    assert figures["requests"] > 4 * 10 * 10
