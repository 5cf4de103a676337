"""What a loader says of itself: figures, a verdict, hooks for loggers, and text for Prometheus."""

import re
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

import packed
import ropeway
from ropeway.cache.counters import Counters as CacheCounts
from ropeway.errors import UsageError
from ropeway.exposition import exposed, exposition
from ropeway.meter import Stats
from ropeway.ranges import Counts
from ropeway.stores import open_store
from ropeway.view import View


@pytest.fixture
def view(tmp_path: Path) -> View:
    packed.publish(open_store(tmp_path), samples=200)
    return ropeway.connect(str(tmp_path)).query()


def figures(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ({"fetch": 1.0, "decode": 3.0}, r"^decoding: more threads= .*\(waited 50% of the time; decode is 75%"),
        ({"move": 1.0}, "^memory: checksums and copies"),
        ({"collate": 1.0}, "^putting batches together"),
        ({"device": 1.0}, "^copying to the device"),
    ],
)
def test_the_verdict_names_the_slowest_stage(stages: dict[str, float], says: str) -> None:
    assert re.search(says, Stats(samples=1, batches=1, elapsed=10, wait=5, stages=stages).verdict)


def test_a_slow_store_is_told_from_a_slow_disk() -> None:
    slow = Stats(samples=1, batches=1, elapsed=10, wait=5, stages={"fetch": 8.0, "move": 1.0, "decode": 1.0})
    assert re.search(r"^the disk that shards are read from: .*fetch is 80% of the work\)$", slow.verdict)
    far = replace(slow, traffic=Counts(requests=3))
    assert re.search(r"^the store: more requests= or memory= may help, and a ropeway.DiskCache .*80%", far.verdict)
    assert "DiskCache" not in replace(far, cache=CacheCounts()).verdict


def test_the_verdict_acquits_a_loader_that_is_ahead() -> None:
    assert Stats().verdict == "nothing was streamed yet"
    ahead = Stats(samples=1, batches=1, elapsed=10, wait=0.05, stages={"decode": 9.0})
    assert ahead.verdict == "your steps: batches are ready before they are asked for (waited 0.5% of the time)"


def test_stages_add_up_to_no_more_than_the_time_it_took(view: View) -> None:
    loader = ropeway.StreamingLoader(view, 10)
    list(loader)
    stats = loader.stats()
    assert set(stats.stages) == {"plan", "fetch", "move", "decode", "collate", "device"}
    assert 0 < sum(stats.stages.values()) <= stats.elapsed * 1.01
    assert stats.unchecked == stats.bad == 0


def test_hooks_get_every_figure_by_name(view: View) -> None:
    told: list[tuple[dict[str, float], int]] = []
    loader = ropeway.StreamingLoader(view, 10)
    loader.watch(lambda figures, batches: told.append((figures, batches)), every=8)
    list(loader)
    assert [batches for _, batches in told] == [8, 16]
    assert told[-1][0]["data/samples"] == 160.0
    assert {"data/data_wait", "data/fetch_seconds", "data/store_requests"} <= told[-1][0].keys()
    assert all(isinstance(value, float) for value in told[-1][0].values())


def test_prometheus_reads_the_figures(view: View) -> None:
    loader = ropeway.StreamingLoader(view, 10)
    list(loader)
    read = figures(exposition(loader.stats(), rank="3", job='a "quoted"\\name\n'))
    labels = (("job", 'a "quoted"\\name\n'), ("rank", "3"))
    assert read["ropeway_loader_samples_total", labels] == 200
    assert read["ropeway_loader_stage_seconds_total", (*labels, ("stage", "move"))] > 0
    assert figures(exposition(Stats(traffic=Counts(retries=7))))["ropeway_loader_store_retries_total", ()] == 7


def test_figures_are_served_while_the_job_runs(view: View) -> None:
    loader = ropeway.StreamingLoader(view, 10)
    with exposed(loader.stats, 0, rank="0") as port:
        list(loader)
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert figures(answer.read().decode())["ropeway_loader_batches_total", (("rank", "0"),)] == 20
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"http://127.0.0.1:{port}/", timeout=10)
        with pytest.raises(UsageError, match=rf"port {port}: Address already in use"), exposed(loader.stats, port):
            pass
