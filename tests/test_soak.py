"""A slice of the correctness suite; `make soak` runs all of it."""

import pytest

import soak


@pytest.mark.parametrize("number", range(24))
def test_schedule(number: int) -> None:
    _, _, problem = soak.run(number)
    assert not problem, problem


def test_schedules_are_drawn_from_their_numbers_alone() -> None:
    assert soak.draw(11) == soak.draw(11)
    assert len({str(soak.draw(number)) for number in range(50)}) == 50


def test_a_broken_loader_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite can fail: a loader that loses its position is caught."""
    from ropeway.job import ViewJob

    restore = ViewJob.restore
    monkeypatch.setattr(ViewJob, "restore", lambda self, saved: restore(self, {**saved, "position": 0}))
    assert any(soak.run(number)[2] for number in range(8))
