"""The doctor finds what is wrong, says what to change, tells no secrets, and its exit status says whether it works."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time

import pytest

import packed
from ropeway.catalog import connect
from ropeway.doctor import Finding, Need, examine, machine, speed, store, worst
from ropeway.stores import open_store
from serving import serving


def found(url: str | None, need: Need | None = None) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(url, need)}


@pytest.fixture
def local(tmp_path: Path) -> str:
    packed.publish(open_store(tmp_path / "store"), samples=50)
    return str(tmp_path / "store")


def test_a_store_that_works(local: str) -> None:
    checked = found(local)
    assert worst(checked.values()) in ("good", "unknown", "slow")  # no FUSE on this host, few open files
    assert checked["store"].found.endswith("answers: 1 datasets, 50 samples")
    assert checked["versions"].found.startswith("ropeway ")
    assert checked["requirements"].verdict == "good"
    assert "samples/s of view" in checked["speed"].found


def test_a_service_that_works(local: str) -> None:
    with serving(local) as url:
        checked = found(url)
    assert (checked["store"].verdict, checked["clock"].verdict, checked["speed"].verdict) == ("good", "good", "good")


def test_a_bucket_that_works_and_credentials_that_do_not(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"s3://{bucket}/x"
    packed.publish(open_store(url), samples=20)
    checked = found(url)
    assert all(checked[name].verdict == "good" for name in ("credentials", "clock", "store", "latency", "speed"))
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    assert secret not in str(checked)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    refused = found(url)
    assert refused["store"].verdict == "bad"
    assert "speed" not in refused
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert "AWS_PROFILE" in found(url)["credentials"].advice


def test_what_is_not_there(tmp_path: Path) -> None:
    assert found(str(tmp_path / "nowhere"))["store"].verdict == "bad"
    assert found("http://127.0.0.1:9")["store"].verdict == "bad"
    (tmp_path / "empty").mkdir()
    assert found(str(tmp_path / "empty"))["store"].verdict == "unknown"
    packed.publish(open_store(tmp_path / "store"), samples=8)
    assert found(str(tmp_path / "store"), Need(view="0" * 16))["speed"].verdict == "bad"


def test_speed_is_held_against_the_need(local: str) -> None:
    view = connect(local).query()
    each = view.bytes / view.samples
    enough = speed.compared(view, Need(rate=100), 130 * each, 4)
    assert (enough.verdict, enough.advice) == ("good", "")
    short = speed.compared(view, Need(rate=100), 110 * each, 4)
    assert short.verdict == "slow"
    assert "the job takes 100" in short.found
    assert "disk cache" in short.advice


def test_measuring_reads_the_view_and_no_longer_than_told(local: str) -> None:
    view = connect(local).query()
    latency, count, seconds, requests = speed.measure(view)
    assert count == sum(ref.bytes for ref in view.table().shards)
    assert 0 < latency < 5
    assert 0 < seconds < speed.SECONDS + 3
    assert requests >= 1


@contextmanager
def server_at(moment: float) -> Iterator[str]:
    """A web server whose clock says something else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(moment, usegmt=True)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("ahead", "verdict"), [(0, "good"), (-200, "slow"), (3000, "bad")])
def test_the_clock(ahead: float, verdict: str) -> None:
    with server_at(time() - ahead) as url:
        checked = store.clock(url)
    assert checked.verdict == verdict
    if verdict != "good":
        assert ("ahead of" if ahead > 0 else "behind") in checked.found
        assert "timedatectl" in checked.advice


def test_fuse_that_is_not_there(tmp_path: Path) -> None:
    checked = machine.fuse(tmp_path / "fuse")
    assert checked.verdict == "unknown"
    assert "kernel's fuse module" in checked.advice


def test_the_command(local: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ropeway.cli", "doctor", "--json"]
    done = subprocess.run([*command, "--store", local], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {"name", "verdict", "found", "advice"} == set(told["findings"][0])
    failed = subprocess.run([*command, "--store", str(tmp_path / "no")], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["verdict"] == "bad"
    plain = subprocess.run(
        [*command[:-1], "--store", str(tmp_path / "no")], capture_output=True, text=True, check=False
    )
    assert "→" in plain.stdout
