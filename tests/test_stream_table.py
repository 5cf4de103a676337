"""`ropeway stream` at a terminal: a table that is renewed while batches come, and figures after them."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

import packed
from ropeway.cli import make_app
from ropeway.stores import open_store

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
STEP = re.compile(r"step ([0-9,]+)/[0-9,]+")


def test_the_table_is_renewed_while_batches_come(tmp_path: Path) -> None:
    packed.publish(open_store(tmp_path / "store"), samples=103)
    command = [sys.executable, "-m", "ropeway.cli", "stream", "--store", str(tmp_path / "store")]
    terminal, end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(
        [*command, "--batch-size", "10", "--epochs", "1000000"], stdin=end, stdout=subprocess.DEVNULL, stderr=end,
        env=environment,
    )  # fmt: skip
    os.close(end)
    shown, raw = "", b""
    try:
        while len(set(STEP.findall(shown))) < 3:
            raw += os.read(terminal, 1 << 16)
            shown = CONTROL.sub("", raw.decode(errors="replace"))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        os.close(terminal)
    steps = [int(step.replace(",", "")) for step in STEP.findall(shown)]
    assert steps == sorted(steps)
    assert steps[0] < steps[-1]
    for row in ("plan", "fetch", "move", "decode", "collate", "device", "waited for", "samples/s"):
        assert row in shown


def test_without_a_terminal_only_the_end_is_told(tmp_path: Path) -> None:
    packed.publish(open_store(tmp_path / "store"), samples=103)
    done = CliRunner().invoke(make_app(), ["stream", "--store", str(tmp_path / "store"), "--batch-size", "10"])
    assert done.exit_code == 0, done.output
    assert not STEP.search(done.stderr)
    assert "103 samples in 11 batches, and 7 repeats that fill last batches" in done.stdout
    assert re.search(r"^bound by .*waited [0-9.]+% of the time", done.stdout, re.MULTILINE)
