"""The command line as a user types it: what it prints, and one clear line when something is wrong."""

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import packed
import ropeway as library
from ropeway.cli import make_app
from ropeway.cli.simulate import simulate
from ropeway.cli.stream import stream
from ropeway.order import Shuffled
from ropeway.stores import open_store
from ropeway.wanted import MEMORY
from serving import serving


def ropeway(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ropeway.cli", *arguments], capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> str:
    packed.publish(open_store(tmp_path / "store"), samples=103, lacks=[4])
    return str(tmp_path / "store")


def test_bare_it_shows_help_by_user() -> None:
    shown = ropeway(COLUMNS="100")
    for heading in ("Analysts", "Researchers", "Stewards", "Operators"):
        assert heading in shown.stdout
    for command in (
        "pack",
        "adopt",
        "export",
        "recipes",
        "ls",
        "show",
        "query",
        "stream",
        "bench",
        "verify",
        "withdraw",
        "compact",
        "serve",
        "doctor",
        "demo",
    ):
        assert f" {command} " in shown.stdout
        helped = ropeway(command, "--help")
        assert helped.returncode == 0
        assert "Usage:" in helped.stdout


def test_every_option_of_every_command_says_what_it_is_for() -> None:
    def texts(command: Any, name: str) -> Iterator[tuple[str, str]]:
        yield name, command.help
        for parameter in command.params:
            yield f"{name} {parameter.name}", parameter.help
        for inner in getattr(command, "commands", {}).values():
            yield from texts(inner, f"{name} {inner.name}")

    told = dict(texts(get_command(make_app()), "ropeway"))
    assert len(told) > 150
    assert not [name for name, text in told.items() if not text]
    assert not [name for name, text in told.items() if "<" in text]  # Markdown would take it for HTML, and show nothing


def test_the_version_is_one_line() -> None:
    shown = ropeway("--version")
    where = Path(library.__file__ or "").parent
    assert shown.stdout == f"ropeway {version('ropeway')}, Python {platform.python_version()}, {where}\n"
    assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.parametrize(
    "command",
    [("ls",), ("show", "d"), ("query",), ("query", "--by", "split"), ("stream", "--batch-size", "20"), ("verify",)],
)
def test_json_is_all_that_is_printed(store: str, command: tuple[str, ...]) -> None:
    done = ropeway(*command, "--store", store, "--json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    assert done.stderr == ""
    plain = ropeway(*command, "--store", store)
    assert plain.returncode == 0, plain.stderr
    assert "…" not in plain.stdout


def test_the_same_from_a_store_and_a_service(store: str) -> None:
    with serving(store) as url:
        for command in (
            ("ls",),
            ("show", "d"),
            ("query", "--task", "cls", "--where", "age < 30"),
            ("query", "--by", "age"),
        ):
            assert (
                ropeway(*command, "--store", url, "--json").stdout
                == ropeway(*command, "--store", store, "--json").stdout
            )
        view = json.loads(ropeway("query", "--store", url, "--json").stdout)["id"]
        streamed = json.loads(ropeway("stream", view, "--store", url, "--batch-size", "20", "--json").stdout)
        assert (streamed["view"], streamed["batches"], streamed["samples"], streamed["padding"]) == (view, 6, 103, 17)


def test_the_store_may_come_from_the_environment(store: str) -> None:
    assert json.loads(ropeway("ls", "--json", ROPEWAY_STORE=store).stdout)[0]["id"] == "d"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "nope"), "no such dataset in the store [dataset nope"),
        (("query", "--task", "nope"), "unknown task 'nope'; there is: cls"),
        (("query", "--where", "height > 3"), "unknown column 'height' in the filter; there is: age"),
        (("query", "--where", "age > 3; drop table x"), "without semicolons"),
        (("query", "--where", "age >"), "filter does not parse"),
        (("query", "--split", "dev"), "unknown split 'dev'"),
        (("query", "--dataset", "nope"), "unknown dataset 'nope'; there is: d"),
        (("query", "--by", "height"), "unknown column 'height' in by"),
        (("stream", "0123456789abcdef"), "no view 0123456789abcdef"),
        (("stream", "--cache-limit", "5"), "--cache-limit says nothing without --cache"),
        (("mount", "d", "--cache-limit", "5", "/no/such/folder"), "--cache-limit says nothing without --cache"),
        (("stream", "--part", "nope"), "unknown part 'nope'; there is: note, x"),
        (("stream", "mine", "--task", "cls", "--dataset", "d"), "names one view: leave out --task, --dataset"),
        (("simulate", "mine", "--where", "age > 3"), "'mine' names one view: leave out --where"),
        (("simulate", "--samples", "1e4", "--plot", "/no/such/folder/x.png"), "No such file or directory"),
        (("simulate", "--samples", "1e4", "--seed", "-1", "--plot", "x.nope"), "Format 'nope' is not supported"),
        (("verify", "nope"), "no such dataset"),
    ],
)
def test_mistakes_are_one_clear_line(store: str, arguments: tuple[str, ...], words: str) -> None:
    done = ropeway(*arguments, "--store", store)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("ropeway: ")
    assert done.stdout == ""


def test_defaults_that_help_shows_are_the_librarys() -> None:
    streaming, simulating = signature(stream).parameters, signature(simulate).parameters
    assert streaming["memory"].default << 20 == MEMORY
    assert (simulating["lanes"].default, simulating["window"].default) == (Shuffled().lanes, Shuffled().window)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/no/such/folder", "no such folder [url file:///no/such/folder]"),
        ("ftp://x/y", "not a store URL"),
        ("", "no store is named"),
        ("s3:///prefix", "no bucket in the store URL"),
        ("http://127.0.0.1:9", "is the index service running"),
    ],
)
def test_wrong_stores_are_named(url: str, words: str) -> None:
    done = ropeway("ls", "--store", url)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_bucket_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    from ropeway_shardgen.demo.seaweedfs import running

    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/patients.csv").write_text("id,age\n" + "".join(f"{i},{i}\n" for i in range(9)))
    (tmp_path / "trial.toml").write_text(RECIPE)
    pack = ("pack", str(tmp_path / "trial.toml"), "--root", str(tmp_path / "raw"), "--store", "s3://clinical/x")
    with running(tmp_path / "s3") as server:
        server.create_bucket("clinical")
        refused = ropeway(*pack, **server.environment(reader=True))
        assert refused.returncode == 1
        assert "access denied" in refused.stderr
        assert "s3://clinical/x" in refused.stderr
        assert server.reader_secret_key not in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
        assert ropeway("ls", "--store", "s3://clinical/x", "--json", **server.environment()).stdout.strip() == "[]"
        missing = ropeway("ls", "--store", "s3://nowhere-at-all/x", **server.environment())
        assert missing.returncode == 1
        assert "s3://nowhere-at-all/x" in missing.stderr
        assert ropeway(*pack, **server.environment()).returncode == 0
        assert ropeway("verify", "--store", "s3://clinical/x", **server.environment()).returncode == 0


RECIPE = """
id = "trial"
key = "{id}"
[card]
title = "Trial"
domain = "oncology"
modalities = ["table"]
licence = "CC0"
access = "open"
unit = "patient"
[raw]
get = "here"
folder = "patients.csv"
[source]
table = "patients.csv"
[parts.covariates]
kind = "table"
adapter = "table"
options = { columns = ["age"] }
[subject]
id = "{id}"
[split]
rule = "subject-hash"
fractions = { train = 0.6, valid = 0.2, test = 0.2 }
"""


def test_damage_makes_verify_fail(store: str) -> None:
    shard = Path(store, f"d/{packed.VERSION}/train-000001.tar")
    content = bytearray(shard.read_bytes())
    content[700] ^= 1
    shard.write_bytes(content)
    done = ropeway("verify", "--store", store)
    assert done.returncode == 1
    assert "crc32c of the sample differs from the index's" in done.stdout
    assert "train-000001.tar" in done.stdout


def test_an_interrupt_is_quiet(store: str) -> None:
    command = [
        sys.executable,
        "-m",
        "ropeway.cli",
        "stream",
        "--store",
        store,
        "--batch-size",
        "1",
        "--epochs",
        "1000000",
    ]
    process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_closed_pipe_is_no_error_message(store: str) -> None:
    command = f"{sys.executable} -m ropeway.cli show d --store {store} --json | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
