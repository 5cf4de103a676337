"""The OpenAPI document against the running service: schemathesis makes requests of it and compares the answers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import packed
import tiny_store
from ropeway.stores import open_store
from serving import serving


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    packed.publish(open_store(tmp_path / "store"))
    tiny_store.build(open_store(tmp_path / "store"))
    with serving(str(tmp_path / "store")) as url:
        yield url


def test_answers_are_what_the_document_says(service: str, tmp_path: Path) -> None:
    done = subprocess.run(
        # a query that is well formed may still name a dataset that is not there: positive_data_acceptance is not for us
        [sys.executable, "-m", "schemathesis.cli", "run", f"{service}/openapi.json", "--phases", "examples,fuzzing",
         "--max-examples", "15", "--seed", "1", "--no-color", "--exclude-checks",
         "positive_data_acceptance", "--include-path-regex",
         "^/v1/(views|saved|stats|datasets|tasks|samples|objects)"],
        capture_output=True, text=True, check=False, timeout=150, cwd=tmp_path, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
