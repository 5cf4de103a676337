"""Hosts on one machine: network namespaces with addresses of their own, on one switch; and what runs on them.

`python hosts.py FOLDER ADDRESS` is the third host's program: an S3 with a published dataset, and the index service.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import packed
from ropeway.stores import open_store
from ropeway_shardgen.demo.seaweedfs import running

SAMPLES = 200
BUCKET = "hosts"
DEVICE = "eth0"


class NoHosts(Exception):
    """This machine makes no network namespaces; the message says why."""


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace and its address."""

    namespace: str
    address: str

    def command(self, *words: str) -> list[str]:
        """The command that runs `words` on this host."""
        return ["ip", "netns", "exec", self.namespace, *words]

    def kill(self) -> None:
        """End every process on this host the hard way; its kernel stays, and closes their connections."""
        while found := _ip("netns", "pids", self.namespace).split():
            for process in found:
                try:
                    os.kill(int(process), signal.SIGKILL)
                except ProcessLookupError:
                    continue


@contextmanager
def hosts(count: int) -> Iterator[Sequence[Host]]:
    """That many hosts that reach each other and nothing else; at the end, whatever runs on them is killed.

    Raises:
        NoHosts: they cannot be made here.
    """
    if shutil.which("ip") is None:
        raise NoHosts("there is no `ip` command (package iproute2)")
    if os.geteuid() != 0:
        raise NoHosts("only root may make network namespaces")
    name = f"ropeway-{secrets.token_hex(4)}"
    switch = f"{name}-switch"
    made = [Host(f"{name}-{number}", f"10.83.0.{number}") for number in range(1, count + 1)]
    try:
        _make(switch, made)
        yield made
    finally:
        present = {line.split()[0] for line in _ip("netns", "list").splitlines()}
        for host in made:
            if host.namespace in present:
                host.kill()
                _ip("netns", "delete", host.namespace)
        if switch in present:
            _ip("netns", "delete", switch)


def _make(switch: str, made: Sequence[Host]) -> None:
    try:
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for number, host in enumerate(made):
            port = f"port{number}"
            _ip("netns", "add", host.namespace)
            _ip("-n", host.namespace, "link", "add", DEVICE, "type", "veth", "peer", "name", port, "netns", switch)
            _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", DEVICE)
            for device in (DEVICE, "lo"):
                _ip("-n", host.namespace, "link", "set", device, "up")
            _ip("-n", switch, "link", "set", port, "master", "bridge", "up")
    except subprocess.CalledProcessError as error:
        raise NoHosts(f"network namespaces cannot be made here: {error.stderr.strip()}") from error


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


@contextmanager
def serving(host: Host, folder: Path) -> Iterator[tuple[str, str]]:
    """A published dataset on that host's S3, and a service for it: their addresses."""
    command = host.command(sys.executable, __file__, str(folder), host.address)
    with (folder / "serving.log").open("w+") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            storage = process.stdout.readline().strip()
            service = process.stdout.readline().partition(" at ")[2].split()
            assert service, (folder / "serving.log").read_text()
            yield storage, service[0]
        finally:
            process.stdin.close()  # tells it to end
            try:
                process.wait(timeout=20)
            finally:
                host.kill()
                process.wait()
                process.stdout.close()


def publish(store: str) -> None:
    """The dataset that the job streams."""
    packed.publish(open_store(store), samples=SAMPLES, per_shard=24)


def _serve(folder: Path, address: str) -> None:
    with running(folder / "s3", address) as server:
        os.environ.update(server.environment())
        server.create_bucket(BUCKET)
        publish(f"s3://{BUCKET}")
        print(server.endpoint, flush=True)  # noqa: T201 - read by `serving`
        command = [sys.executable, "-m", "ropeway.cli", "serve", "--store", f"s3://{BUCKET}", "--host", address]
        service = subprocess.Popen([*command, "--port", "0", "--database", f"sqlite:///{folder / 'service.db'}"])
        try:
            sys.stdin.read()
        finally:
            service.terminate()
            service.wait()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2])
