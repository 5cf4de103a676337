"""/readyz: asked by everybody, found out once a second."""

import threading
from pathlib import Path

import pytest

import tiny_store
from guarded import call
from ropeway.errors import ServiceError
from ropeway.stores import open_store
from ropeway.stores.local import LocalStore
from ropeway_server import readiness
from ropeway_server.readiness import Readiness
from serving import serving


def test_what_was_found_holds_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    found, broken, now = list[float](), list[str](), [100.0]
    monkeypatch.setattr(readiness, "monotonic", lambda: now[0])

    def check() -> None:
        found.append(now[0])
        if broken:
            raise ServiceError(broken[0])

    ready = Readiness(check)
    for _ in range(5):
        ready.check()
    assert found == [100.0]
    broken.append("the store does not answer")
    now[0] += 0.9
    ready.check()
    now[0] += 0.2
    for _ in range(3):
        with pytest.raises(ServiceError, match="the store does not answer"):
            ready.check()
    assert len(found) == 2
    broken.clear()
    now[0] += 1.1
    ready.check()
    assert len(found) == 3


def test_a_store_that_hangs_holds_up_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, goes_on, now = threading.Event(), threading.Event(), [0.0]
    monkeypatch.setattr(readiness, "monotonic", lambda: now[0])

    def check() -> None:
        if now[0]:
            hangs.set()
            assert goes_on.wait(10)

    ready = Readiness(check)
    ready.check()
    now[0] = 10.0
    first = threading.Thread(target=ready.check)
    first.start()
    assert hangs.wait(10)
    ready.check()  # as it was before
    now[0] += readiness.LATE
    with pytest.raises(ServiceError, match="has not answered for 10 s"):
        ready.check()
    goes_on.set()
    first.join()
    ready.check()


def test_probes_do_not_list_the_store_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_store.build(open_store(tmp_path), "tiny")
    listed, real = list[str](), LocalStore.folders

    def folders(self: LocalStore, prefix: str = "") -> list[str]:
        listed.append(prefix)
        return real(self, prefix)

    with serving(str(tmp_path)) as url:
        monkeypatch.setattr(LocalStore, "folders", folders)
        monkeypatch.setattr(readiness, "FRESH", 3600.0)
        assert {call("GET", f"{url}/readyz").status for _ in range(20)} == {200}
    assert len(listed) == 1
