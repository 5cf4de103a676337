"""What every test may use: a real S3, a real PostgreSQL, and the promise that nothing is left running."""

import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import HealthCheck, settings

import postgres
from ropeway.stores import open_store
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.demo.seaweedfs import S3Server, running

if TYPE_CHECKING:
    from ropeway_server.database import Database

settings.register_profile(
    "ropeway",
    deadline=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("ropeway")

_KEPT: set[psutil.Process] = set()
"""Children that the session keeps on purpose."""
_PYTHONS_OWN = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Helpers that Python starts at their first use and ends with the process."""

# A shell's background jobs ignore interrupts, and the programs under test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A SeaweedFS with signatures enforced, started when the first test asks for it."""
    with running(tmp_path_factory.mktemp("s3")) as server:
        _KEPT.update(psutil.Process().children(recursive=True))
        yield server


_numbers = itertools.count()


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a new bucket, with the environment set so that every S3 tool finds it."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    name = f"test-{next(_numbers)}"
    s3_server.create_bucket(name)
    return name


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL, started when the first test asks for it."""
    with postgres.running() as url:
        _KEPT.update(psutil.Process().children(recursive=True))
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new database of each kind that the service can keep its state in."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'state.db'}"
        return
    with postgres.fresh(request.getfixturevalue("postgres_server")) as url:
        yield url


@pytest.fixture
def state(database_url: str) -> Iterator["Database"]:
    """The service's state in a new database of each kind."""
    from ropeway_server.database import Database  # most tests need no SQLAlchemy

    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """The URL of a new SQLite database."""
    return f"sqlite:///{tmp_path / 'identity.db'}"


@pytest.fixture
def guarded_store(tmp_path: Path) -> str:
    """A store with a dataset of each licence tier; see `guarded`."""
    import guarded  # brings the service along

    guarded.build_all(open_store(tmp_path / "store"))
    return str(tmp_path / "store")


@pytest.fixture
def raw_folder(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the raw folder of a recipe; see `raw_trees`."""
    from raw_trees import raw_trees  # brings every library of raw formats along

    def write(recipe: str) -> Path:
        raw_trees()[recipe](tmp_path)
        return tmp_path

    return write


@pytest.fixture(autouse=True)
def no_raw_file_left_open() -> Iterator[None]:
    """Adapters keep the files that they read last open for the next sample."""
    yield
    close_all()


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Fails the test that leaves a child process behind."""
    me = psutil.Process()
    before = set(me.children(recursive=True))
    yield
    new = set(me.children(recursive=True)) - before - _KEPT
    _, alive = psutil.wait_procs([child for child in new if not _pythons_own(child)], timeout=5)
    assert not alive, f"left running: {alive}"


def _pythons_own(process: psutil.Process) -> bool:
    try:
        return any(name in " ".join(process.cmdline()) for name in _PYTHONS_OWN)
    except psutil.NoSuchProcess:
        return True
