"""The OpenAPI document against the running service: schemathesis makes requests of it and compares the answers."""

import subprocess
import sys
from pathlib import Path

from documented import documented
from ropeway_server.openapi import examples

PHASES = """
[[operations]]
include-path = "/v1/views"  # its body is a tree: case by case it takes minutes, and test_service_wire has more
phases.coverage.enabled = false

[[operations]]
exclude-path-regex = "^/v1/views$|^/v1/stats$|^/v1/saved|details$"
phases.fuzzing.enabled = false
"""
"""Every operation is asked case by case; those that take what people ask for, by chance too."""


def test_answers_are_what_the_document_says(tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(PHASES)
    with documented() as sender:
        for example in examples():
            if not example["operation"].startswith("delete"):  # so that there is what the examples name
                sender.send(example)
        done = subprocess.run(
            # a query that is well formed may still name what is not there: positive_data_acceptance is not for us
            [sys.executable, "-m", "schemathesis.cli", "--config-file", config, "run", f"{sender.url}/openapi.json",
             "--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "1", "--no-color",
             "--continue-on-failure", "--exclude-checks", "positive_data_acceptance",
             "--header", f"Authorization: Bearer {sender.token}"],
            capture_output=True, text=True, check=False, timeout=150, cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
