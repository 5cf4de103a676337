"""Packing on hosts that are reached over SSH: real servers, each on a network address of its own."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dask_hosts import QUIET, finished
from hosts import Host, NoHosts, hosts
from ropeway.stores import LocalStore
from ropeway_shardgen.pack import pack
from ropeway_shardgen.plan import Settings
from shardgen_raw import RECIPE, recipe, stored_digests, write_raw
from ssh_hosts import PORT, Keys, letting_in, running

pytest.importorskip("asyncssh")
pytestmark = pytest.mark.xdist_group("hosts")


@dataclass(frozen=True, slots=True)
class Site:
    """Two hosts that run SSH servers, a third to pack from, and raw files that all see."""

    driver: Host
    hosts: tuple[Host, Host]
    keys: Keys
    folder: Path

    def start(self, store: LocalStore, **options: Any) -> "subprocess.Popen[str]":
        """`ropeway pack` with a cluster file of these options over the ones that work."""
        first, second = (host.address for host in self.hosts)
        told = {"hosts": [first, first, second], "key": self.keys.user, "port": PORT, "connect": 20, "orphaned": 15}
        file = store.root.with_suffix(".toml")
        file.write_text(CLUSTER.format(known=self.keys.known_hosts, **told | options))
        words = ["pack", "tiny.toml", "--root", "raw", "--store", str(store.root), "--shard-size", "20kB", "--json"]
        command = self.driver.command(sys.executable, "-m", "ropeway.cli", *words, "--engine", "dask")
        return subprocess.Popen(
            [*command, "--cluster", str(file)],
            cwd=self.folder, env=QUIET, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def wait_until_alone(self) -> None:
        """Until nothing runs on the hosts but their SSH servers."""
        until = time.monotonic() + 60
        while left := [command for host in self.hosts for command in running(host)]:
            assert time.monotonic() < until, f"left running: {left}"
            time.sleep(0.05)


CLUSTER = """
kind = "ssh"
[options]
hosts = {hosts}
scheduler_options = {{ idle_timeout = {orphaned}, dashboard = false }}
worker_options = {{ death_timeout = {orphaned} }}
[options.connect_options]
username = "root"
client_keys = ["{key}"]
known_hosts = "{known}"
port = {port}
connect_timeout = {connect}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("ssh")
    (folder / "tiny.toml").write_text(RECIPE)
    write_raw(folder / "raw", samples=120)
    with ExitStack() as stack:
        try:
            driver, first, second = stack.enter_context(hosts(3))
            keys = stack.enter_context(letting_in([first, second], folder))
        except NoHosts as reason:
            pytest.skip(str(reason))
        yield Site(driver, (first, second), keys, folder)


def failure(started: "subprocess.Popen[str]") -> str:
    """The one line that a pack ends with which cannot begin."""
    out, err = started.communicate(timeout=60)
    assert started.returncode == 1, out + err
    assert out == ""
    assert err.count("\n") == 1, err
    return err


def test_hosts_over_ssh_make_the_same_store(site: Site, tmp_path: Path) -> None:
    store, local = LocalStore(tmp_path / "store"), LocalStore(tmp_path / "local")
    out, err = (started := site.start(store)).communicate(timeout=150)
    assert started.returncode == 0, err
    assert json.loads(out)["published"]
    site.wait_until_alone()
    pack(recipe(), site.folder / "raw", local, Settings(shard_size=20_000))
    assert stored_digests(store) == stored_digests(local)


def test_hosts_that_cannot_be_used_and_a_killed_pack_leave_nothing_running(site: Site, tmp_path: Path) -> None:
    started = site.start(left := LocalStore(tmp_path / "left"))
    while not finished(left):
        assert started.poll() is None, started.communicate()
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    started.communicate()
    assert any(running(host) for host in site.hosts)

    first, second = (host.address for host in site.hosts)
    store = LocalStore(tmp_path / "store")
    refused = failure(site.start(store, key=site.keys.stranger))
    assert "SSHCluster cannot be launched" in refused
    assert f"Permission denied for user root on host {first}" in refused
    absent = failure(site.start(store, hosts=[first, second, "10.83.0.99"]))  # the others have started by then
    assert "10.83.0.99" in absent
    site.wait_until_alone()
    assert not store.root.exists()


def test_a_host_that_is_silent_is_given_up(site: Site, tmp_path: Path) -> None:
    _, host = site.hosts
    mute = f"import socket; s = socket.create_server(('{host.address}', 2222)); print(flush=True); input()"
    silent = subprocess.Popen(host.command(sys.executable, "-c", mute), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert silent.stdout is not None
        silent.stdout.readline()
        told = failure(site.start(LocalStore(tmp_path / "store"), hosts=[host.address], port=2222, connect=1))
    finally:
        silent.kill()
        silent.communicate()
    assert "no answer in time over SSH" in told
    assert host.address in told
