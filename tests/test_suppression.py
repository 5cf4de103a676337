"""Counts for those who may not read: without small cells, and no difference of one person."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import guarded
import ropeway
from guarded import make_grant, make_token
from ropeway.errors import AccessDenied, RopewayError
from ropeway.stores import open_store
from ropeway_server import suppression
from serving import serving


@pytest.fixture
def store(tmp_path: Path) -> str:
    guarded.build_all(open_store(tmp_path / "store"))
    return str(tmp_path / "store")


def test_counts_without_small_cells(store: str, database_url: str) -> None:
    token = make_token(database_url)
    make_grant(database_url, dataset="closed", level="count")
    with serving(store, database_url) as url:
        catalog = ropeway.connect(url, token)
        (closed,) = [one for one in catalog.datasets() if one.id == "closed"]
        assert (closed.samples, closed.subjects, closed.bytes) == (20, 10, 0)
        rows = {row["label"]: row for row in catalog.stats(["label"], task="task-closed")}
        assert rows == {"common-closed": {"label": "common-closed", "samples": 20, "bytes": None, "subjects": 10}}
        assert catalog.stats(["meta_closed"], datasets=["closed"]) == []  # one person each
        total = catalog.stats([])[0]
        assert (total["samples"], total["subjects"], total["bytes"]) == (27 + 27 + 20, 14 + 14 + 10, None)
        assert all(row["dataset"] != "closed" for row in catalog.stats(["dataset", "subject"]))
        without_one = catalog.stats([], where="meta_closed <> 3", datasets=["closed"])
        assert without_one == catalog.stats([], where="meta_closed >= 0", datasets=["closed"])  # a person's difference
        for refused in (lambda: catalog.manifest("closed"), lambda: catalog.query(datasets=["closed"])):
            with pytest.raises(RopewayError):
                refused()
        with pytest.raises(AccessDenied, match="only count these: closed; and not by key or subject"):
            catalog.stats(["subject"], datasets=["closed"])


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(1, 40), st.integers(0, 40)), max_size=20))
def test_no_small_cell_is_ever_told(cells: list[tuple[int, bool, int, int]]) -> None:
    rows: list[suppression.Row] = [
        {"site": site, "dataset": "shut" if shut else "free", "samples": n, "bytes": n, "subjects": min(n, people)}
        for site, shut, n, people in cells
    ]
    told = suppression.guarded([row for row in rows if row["dataset"] == "shut"], ["site"], {"shut"})
    for row in told:
        assert int(row["samples"] or 0) >= suppression.STEP
        assert int(row["samples"] or 0) % suppression.STEP == int(row["subjects"] or 0) % suppression.STEP == 0
        assert row["bytes"] is None
    exact = suppression.guarded([row for row in rows if row["dataset"] == "free"], ["site"], {"shut"})
    assert sum(int(row["samples"] or 0) for row in exact) == sum(n for _, shut, n, _ in cells if not shut)
