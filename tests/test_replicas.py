"""Several replicas over one PostgreSQL and one S3: one is killed under load and nothing is lost or doubled."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep

import pytest
import sqlalchemy as sa
import urllib3

import packed
import postgres
import ropeway
from ropeway.stores import open_store
from ropeway_server.tables import views
from topology import Replica, Topology, free_ports, needs_nginx, topology

pytestmark = [pytest.mark.xdist_group("s3"), needs_nginx]


@pytest.fixture
def database(postgres_server: str) -> Iterator[str]:
    with postgres.fresh(postgres_server) as url:
        yield url


@pytest.fixture
def store(bucket: str) -> str:
    packed.publish(open_store(f"s3://{bucket}/p"), samples=240, per_shard=24)
    return f"s3://{bucket}/p"


@pytest.fixture
def running(tmp_path: Path, store: str, database: str) -> Iterator[Topology]:
    with topology(tmp_path, store, database, ROPEWAY_SERVE_DRAIN_SECONDS="0.5") as found:
        yield found


def under_load(url: str, work: Callable[[int], None], meanwhile: Callable[[], None], threads: int = 4) -> int:
    """Call `work` with 0, 1, 2, … on threads for as long as `meanwhile` takes and half a second more; how often."""
    numbers, lock, stop = iter(range(1_000_000)), threading.Lock(), threading.Event()

    def loop() -> int:
        done = 0
        while not stop.is_set():
            with lock:
                number = next(numbers)
            work(number)
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(loop) for _ in range(threads)]
        try:
            sleep(0.5)
            meanwhile()
            sleep(0.5)
        finally:
            stop.set()
        return sum(one.result() for one in running)


def test_a_replica_killed_under_load_loses_and_doubles_nothing(running: Topology, store: str, database: str) -> None:
    made = dict[int, str]()

    def work(number: int) -> None:
        catalog = ropeway.connect(running.url, proxied=True)
        limit = number % 80 + 1
        view = catalog.query(where=f"age < {limit}")
        made[limit] = view.id
        table = view.table()
        assert len(table) == view.samples
        shard = view.reader().read(0, 0, 512)
        assert bytes(shard) == content[:512]

    content = open_store(store).read(f"d/{packed.VERSION}/train-000000.tar")
    first, second = running.replicas

    def kill_one_after_the_other() -> None:
        first.kill()
        sleep(0.5)
        first.start()
        second.kill()
        second.start()

    assert under_load(running.url, work, kill_one_after_the_other) > 20
    local = ropeway.connect(store)
    assert made == {limit: local.query(where=f"age < {limit}").id for limit in made}
    engine = sa.create_engine(database)
    with engine.connect() as connection:
        saved = connection.execute(sa.select(views.c.id)).scalars().all()
    engine.dispose()
    assert Counter(saved) == Counter(set(made.values()))
    for replica in running.replicas:  # whoever made a view, both know it
        assert all(ropeway.connect(replica.url).view(name).id == name for name in made.values())


def test_a_job_streams_on_while_replicas_die(running: Topology) -> None:
    loader = ropeway.StreamingLoader(
        ropeway.connect(running.url, proxied=True).query(), global_batch_size=8, seed=0, tail="pad", parts=["x"],
        memory=8 << 20,
    )  # fmt: skip
    keys = list[str]()
    for number, batch in enumerate(loader):
        keys += [key for key, real in zip(batch["__key__"], batch["__mask__"].tolist(), strict=True) if real]
        if number == 5:
            running.replicas[0].kill()
        if number == 12:
            running.replicas[0].start()
            running.replicas[1].kill()
    assert sorted(keys) == [f"k{i:06d}" for i in range(240)]


def test_a_replica_that_is_asked_to_end_costs_no_request(running: Topology) -> None:
    """nginx goes to the other one; nobody has to try again."""
    http = urllib3.PoolManager(maxsize=8, retries=False)
    found = Counter[int]()

    def work(_: int) -> None:
        answer = http.request("GET", f"{running.url}/v1/datasets", timeout=20)
        found[answer.status] += 1

    ended = list[int]()
    done = under_load(running.url, work, lambda: ended.append(running.replicas[0].end()))
    assert ended == [0]
    assert found == {200: done}
    http.clear()


def test_a_new_version_appears_everywhere_without_a_restart(running: Topology, store: str) -> None:
    seen = [ropeway.connect(replica.url) for replica in running.replicas]
    before = seen[0].query()
    assert [len(catalog.datasets()) for catalog in seen] == [1, 1]
    packed.publish(open_store(store), "later", samples=30)
    until = monotonic() + 5
    while [len(catalog.datasets()) for catalog in seen] != [2, 2]:
        assert monotonic() < until
        sleep(0.05)
    assert seen[1].view(before.id).samples == before.samples == 240  # a view stays what it was
    assert seen[0].query().samples == seen[1].query().samples == 270


def test_replicas_that_start_together_make_one_schema(tmp_path: Path, store: str, database: str) -> None:
    replicas = [Replica(port, store, database, tmp_path / f"{port}.log") for port in free_ports(3)]
    with ExitStack() as stack:
        for replica in replicas:
            stack.callback(replica.close)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(Replica.start, replicas))
        made = {ropeway.connect(replica.url).query(where="age < 9").id for replica in replicas}
    assert len(made) == 1


def test_the_proxy_refuses_floods_and_tells_no_paths(running: Topology) -> None:
    http = urllib3.PoolManager(retries=False)
    told = http.request("POST", f"{running.url}/v1/views", body=b"x" * (2 << 20)).status
    assert told == 413
    assert http.request("GET", f"{running.url}/metrics").status == 404
    forged = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https"}
    view = ropeway.connect(running.url).query()
    access = http.request("POST", f"{running.url}/v1/views/{view.id}/access", json={"proxied": True}, headers=forged)
    assert access.json()["urls"]["0"].startswith(f"{running.url}/v1/objects/")
    assert http.request("GET", f"{running.url}/v1/samples/d/k000007").status == 200
    http.clear()
    lines = (running.folder / "access.log").read_text().splitlines()
    assert {"time", "id", "status", "replica"} <= json.loads(lines[-1]).keys()
    assert "k000007" not in "".join(lines)
    assert "by=" not in "".join(lines)
