"""Packing on a cluster that the Dask operator of Kubernetes starts. There is no Kubernetes here: a stand-in has its API
server's part, checks what is posted against the operator's own definitions, and runs the containers' commands.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import kubernetes_stand_in
from dask_hosts import QUIET
from hosts import Host, NoHosts, hosts
from ropeway.stores import LocalStore
from ropeway_shardgen.pack import pack
from ropeway_shardgen.plan import Settings
from shardgen_raw import RECIPE, recipe, stored_digests, write_raw
from ssh_hosts import running

pytest.importorskip("dask_kubernetes")
pytestmark = pytest.mark.xdist_group("hosts")

CLUSTER = """
kind = "kubernetes"
workers = 2
[options]
namespace = "packing"
image = "ropeway-packer:0.1.0"
env = {{ DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED = "false" }}
scheduler_service_type = "LoadBalancer"
{more}
"""


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    try:
        with hosts(1) as (made,):
            yield made
    except NoHosts as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def kubeconfig(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("kubernetes")
    with kubernetes_stand_in.running(host, folder) as place:
        yield place


def packing(host: Host, kubeconfig: Path, folder: Path, more: str = "") -> "subprocess.CompletedProcess[str]":
    """`ropeway pack` on that cluster."""
    write_raw(folder / "raw", samples=60)
    (folder / "tiny.toml").write_text(RECIPE)
    (folder / "cluster.toml").write_text(CLUSTER.format(more=more))
    words = ["pack", "tiny.toml", "--root", "raw", "--store", "store", "--shard-size", "20kB", "--json"]
    return subprocess.run(
        host.command(sys.executable, "-m", "ropeway.cli", *words, "--engine", "dask", "--cluster", "cluster.toml"),
        cwd=folder, env=QUIET | {"KUBECONFIG": str(kubeconfig)}, capture_output=True, text=True, check=False,
        timeout=150,
    )  # fmt: skip


def test_the_operator_s_pods_make_the_same_store(host: Host, kubeconfig: Path, tmp_path: Path) -> None:
    done = packing(host, kubeconfig, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["published"]
    assert len(list(kubeconfig.parent.glob("*-worker-*.log"))) == 2
    local = LocalStore(tmp_path / "local")
    pack(recipe(), tmp_path / "raw", local, Settings(shard_size=20_000))
    assert stored_digests(LocalStore(tmp_path / "store")) == stored_digests(local)
    assert not [command for command in running(host) if "dask" in command], "pods outlive the pack"


def test_a_cluster_that_kubernetes_refuses(host: Host, kubeconfig: Path, tmp_path: Path) -> None:
    assert "DaskCluster is invalid: spec.idleTimeout: 'ten' is not of type 'integer'" in refusal(
        packing(host, kubeconfig, tmp_path, 'idle_timeout = "ten"')
    )


@pytest.mark.parametrize(
    ("path", "said"),
    [(":6443/bare", "the Dask operator is not installed"), (":9", "All connection attempts failed")],
)
def test_no_operator_and_no_kubernetes(path: str, said: str, host: Host, kubeconfig: Path, tmp_path: Path) -> None:
    other = kubernetes_stand_in.kubeconfig(tmp_path / "kubeconfig", f"http://{host.address}{path}")
    assert said in refusal(packing(host, other, tmp_path))


def refusal(done: "subprocess.CompletedProcess[str]") -> str:
    """The one line of a pack that has no cluster."""
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "cluster file cluster.toml: KubeCluster cannot be launched: " in done.stderr
    return done.stderr
