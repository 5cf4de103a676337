"""Runs a measurement in a process of its own."""

import json
import logging
import os
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

from benchmarks.memory import Peak

log = logging.getLogger("benchmarks")

TIMEOUT = 90
"""Seconds after which a measurement is given up."""


def run(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object on the last line that a command prints, with `peak` and `peak_anonymous`, its memory in bytes.

    Returns:
        Only `missing`, with the reason, where it failed or took too long.
    """
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    with Peak(process.pid) as peak:
        try:
            output, errors = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            return {"missing": f"not done within {TIMEOUT} seconds"}
        finally:
            _end(process)
    if process.returncode:
        log.debug("%s", errors)
        return {"missing": _reason(errors) or f"exit code {process.returncode}"}
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found | {"peak": peak.resident, "peak_anonymous": peak.anonymous}


def _end(process: "subprocess.Popen[str]") -> None:
    """End a measurement's process and whatever it left running."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _reason(errors: str) -> str:
    """The last line that says something, without what may be a signed URL."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    said = [line for line in lines if line.split(":")[0].rpartition(".")[2].endswith(("Error", "Exception"))]
    return (said or lines or [""])[-1].partition("?")[0][:160]
