"""The topology of deploy/compose.yaml as plain processes of this machine: nginx with deploy/nginx.conf and two replicas
of the service, over a PostgreSQL and an S3 that are there already."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import pytest
import urllib3

DEPLOY = Path(__file__).parents[1] / "deploy"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

needs_nginx = pytest.mark.skipif(NGINX is None, reason="there is no nginx (Debian's package nginx)")


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [bound.getsockname()[1] for bound in held]
    for bound in held:
        bound.close()
    return ports


@dataclass
class Replica:
    """One replica, which can be killed and started again at the same address."""

    port: int
    store: str
    database: str
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        command = [sys.executable, "-m", "ropeway.cli", "serve", "--store", self.store, "--database", self.database]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)], stdout=log, stderr=log, env={**os.environ, **self.environment}
            )
        _wait(f"{self.url}/readyz", self.process, self.log)

    def kill(self) -> None:
        """As a machine that loses power."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Kill it, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def end(self) -> int:
        """Ask it to end; its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@dataclass(frozen=True)
class Topology:
    """What runs; `url` is nginx's address."""

    url: str
    replicas: list[Replica]
    folder: Path


@contextmanager
def topology(folder: Path, store: str, database: str, **environment: str) -> Iterator[Topology]:
    """nginx → two replicas, which all end with the context."""
    proxy, *ports = free_ports(3)
    replicas = [Replica(port, store, database, folder / f"replica-{port}.log", environment) for port in ports]
    with ExitStack() as stack:
        for replica in replicas:
            stack.callback(replica.close)
        with ThreadPoolExecutor(len(replicas)) as pool:
            list(pool.map(Replica.start, replicas))
        stack.enter_context(nginx(folder, proxy, ports))
        yield Topology(f"http://127.0.0.1:{proxy}", replicas, folder)


@contextmanager
def nginx(folder: Path, port: int, replicas: list[int]) -> Iterator[None]:
    """nginx as deploy/nginx.conf says, but for addresses and folders."""
    assert NGINX is not None
    text = (DEPLOY / "nginx.conf").read_text().replace("listen 8080", f"listen 127.0.0.1:{port}")
    text = text.replace("/tmp/", f"{folder}/").replace("/dev/stdout", f"{folder}/access.log")
    text = text.replace("worker_processes auto", "worker_processes 1")
    for number, replica in enumerate(replicas, 1):
        text = text.replace(f"service-{number}:8080", f"127.0.0.1:{replica}")
    assert not re.search(r"service-\d", text)
    place = folder / "nginx.conf"
    place.write_text(text)
    user = "user root; " if os.geteuid() == 0 else ""  # the test's folder is closed to others
    log = folder / "nginx.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [NGINX, "-p", str(folder), "-c", str(place), "-e", "stderr", "-g", f"{user}daemon off;"],
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        _wait(f"http://127.0.0.1:{port}/healthz", process, log)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = monotonic() + 60
    with urllib3.PoolManager(retries=False) as http:
        while True:
            assert process.poll() is None, log.read_text()
            assert monotonic() < until, log.read_text()
            try:
                if http.request("GET", url, timeout=5).status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                pass
            sleep(0.05)
