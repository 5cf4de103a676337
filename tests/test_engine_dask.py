"""Packing on a Dask cluster: the same bytes as on one machine, whatever is killed meanwhile."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from dask_hosts import Pack, processes, scheduler, tags, worker
from hosts import Host, NoHosts, hosts
from ropeway.errors import RopewayError, UsageError
from ropeway.publishing import software
from ropeway.stores import LocalStore, open_store
from ropeway_shardgen import clusters, worker_check
from ropeway_shardgen.engine_dask import dask_engine
from ropeway_shardgen.pack import pack
from ropeway_shardgen.plan import Settings
from shardgen_raw import RECIPE, recipe, stored_digests, write_raw

SMALL = Settings(shard_size=20_000)
pytestmark = pytest.mark.xdist_group("hosts")


@pytest.fixture(scope="module")
def three() -> Iterator[Sequence[Host]]:
    try:
        with hosts(3) as made:
            yield made
    except NoHosts as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dask")
    (folder / "tiny.toml").write_text(RECIPE)
    return write_raw(folder / "raw", samples=240)


@pytest.fixture(scope="module")
def local(raw: Path) -> dict[str, str]:
    """What the local engine makes."""
    store = LocalStore(raw.parent / "local")
    pack(recipe(), raw, store, SMALL)
    return stored_digests(store)


def test_packers_at_once_and_killed_ones_and_workers(
    three: Sequence[Host], raw: Path, local: dict[str, str], tmp_path: Path
) -> None:
    first, *others = three
    with processes(tmp_path, [scheduler(first), *(worker(host, first) for host in others)]) as (_, _, doomed):
        store = LocalStore(tmp_path / "at-once")
        both = [Pack(host, first, raw, store) for host in (first, others[0])]
        assert len({packed.answer()["version"] for packed in both}) == 1
        assert stored_digests(store) == local

        store = LocalStore(tmp_path / "driver-killed")
        left = Pack(first, first, raw, store)
        left.wait_for(shards=3)
        done = left.kill()
        again = Pack(first, first, raw, store).answer()
        assert len(done) <= again["resumed_shards"] < again["shards"]
        assert done.items() <= tags(store).items(), "finished shards were packed again"
        assert stored_digests(store) == local

        store = LocalStore(tmp_path / "worker-killed")
        going = Pack(first, first, raw, store)
        going.wait_for(shards=3)
        doomed.kill()
        assert going.answer()["published"]
        assert stored_digests(store) == local


def test_a_killed_scheduler(three: Sequence[Host], raw: Path, local: dict[str, str], tmp_path: Path) -> None:
    first, *others = three
    store = LocalStore(tmp_path / "store")
    with processes(tmp_path, [scheduler(first), *(worker(host, first) for host in others)]) as (doomed, *_):
        lost = Pack(first, first, raw, store)
        lost.wait_for(shards=3)
        doomed.kill()
        assert "run the same command to go on" in lost.failure()
    done = {path: tag for path, tag in tags(store).items() if path.endswith(".tar")}
    with processes(tmp_path, [scheduler(others[0]), worker(others[1], others[0])]):
        again = Pack(first, others[0], raw, store).answer()
    assert again["resumed_shards"] >= 3
    assert len(done.items() & tags(store).items()) >= again["resumed_shards"], "finished shards were packed again"
    assert stored_digests(store) == local


def test_workers_that_cannot_pack(three: Sequence[Host], raw: Path, tmp_path: Path) -> None:
    first, blind, _ = three
    store = LocalStore(tmp_path / "store")
    store.root.mkdir()
    hide = f"mount -t tmpfs none {store.root} && exec"
    hidden = blind.command("unshare", "-m", "sh", "-c", f'{hide} "$@"', "sh", *worker(blind, first)[4:])
    with processes(tmp_path, [scheduler(first), hidden]):
        said = Pack(first, first, raw, store).failure()
    assert "1 of 1 Dask workers cannot pack; tcp://10.83.0.2" in said
    assert "is not the driver's; give a store that all hosts share" in said

    program = "import sys; sys.modules['ropeway_shardgen'] = None; from dask.__main__ import main; main()"
    bare = blind.command(sys.executable, "-c", program, *worker(blind, first)[7:])
    with processes(tmp_path, [scheduler(first), bare]):
        said = Pack(first, first, raw, store).failure()
    assert "it lacks what packing needs: install ropeway" in said
    assert not list(store.objects())


def test_its_own_cluster_on_this_machine(raw: Path, local: dict[str, str], tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    engine = dask_engine(clusters.local(1))
    told: list[int] = []
    pack(recipe(), raw, store, SMALL, engine=lambda job, shards, _: engine(job, shards, lambda n, _: told.append(n)))
    assert stored_digests(store) == local
    assert sum(told) == 240


def test_no_scheduler(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_ANSWER", 0.2)
    with pytest.raises(RopewayError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        pack(recipe(), raw, LocalStore(tmp_path), SMALL, engine=dask_engine(clusters.running("tcp://127.0.0.1:9")))


def test_a_memory_store_is_refused(raw: Path) -> None:
    with pytest.raises(UsageError, match="a memory store cannot be seen from other processes"):
        pack(recipe(), raw, open_store("memory://dask"), SMALL, engine=dask_engine(clusters.local(1)))


def test_what_a_worker_sees(raw: Path, tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("d/mark", b"1")
    seen = worker_check.Sight(
        software(), worker_check._python(), str(raw), "samples.csv", (raw / "samples.csv").stat().st_size
    )
    assert worker_check.look(seen, store, "d/mark", b"1") is None
    for other, said in (
        (seen._replace(software="ropeway 0.0"), "the driver ropeway 0.0; install the same"),
        (seen._replace(python="2.7"), "the driver Python 2.7"),
        (seen._replace(root=str(tmp_path)), "does not see the raw file"),
        (seen._replace(size=1), "is another one"),
    ):
        assert said in str(worker_check.look(other, store, "d/mark", b"1"))
    for mark, path in ((b"2", "d/mark"), (b"1", "d/other")):
        assert "is not the driver's" in str(worker_check.look(seen, store, path, mark))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind = ", "cluster.toml"),
        ('kind = "ray"', "Invalid enum value 'ray'"),
        ('kind = "slurm"', "workers = 0: how many workers"),
        ('kind = "ssh"\nworkers = 2', "options.hosts says how many"),
        ('kind = "slurm"\nworkers = 2\nqueue = "cpu"', "unknown field `queue`"),
    ],
)
def test_cluster_files_that_say_too_little(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text(text)
    with pytest.raises(UsageError, match=said):
        clusters.launched(tmp_path / "cluster.toml")


SBATCH = """#!/bin/sh
cp "$1" {folder}/job.sh
setsid sh {folder}/job.sh > {folder}/job.log 2>&1 &
echo $! > {folder}/job-$!
echo "Submitted batch job $!"
"""


def test_a_cluster_that_slurm_starts(
    raw: Path, local: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no Slurm here: a stand-in for `sbatch` runs the job's script at once, and `scancel` ends it."""
    for name, script in (("sbatch", SBATCH.format(folder=tmp_path)), ("scancel", '#!/bin/sh\nkill -KILL -- "-$1"\n')):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "cluster.toml").write_text(SLURM.format(folder=tmp_path))
    store = LocalStore(tmp_path / "store")
    pack(recipe(), raw, store, SMALL, engine=dask_engine(clusters.launched(tmp_path / "cluster.toml")))
    assert stored_digests(store) == local
    (job,) = tmp_path.glob("job-*")
    psutil.wait_procs([psutil.Process(int(job.read_text()))] if psutil.pid_exists(int(job.read_text())) else [], 20)
    assert not psutil.pid_exists(int(job.read_text())), "the job outlives the pack"


SLURM = """
kind = "slurm"
workers = 1

[options]
cores = 1
memory = "1GiB"
interface = "lo"
scheduler_options = {{ dashboard_address = "127.0.0.1:0" }}
local_directory = "{folder}"
"""
