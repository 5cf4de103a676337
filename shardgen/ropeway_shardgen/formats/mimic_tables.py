"""Tables of MIMIC (.csv.gz) for DuckDB: the columns asked for, typed; and errors that show nobody's row."""

import csv
import glob
import gzip
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb

from ropeway_shardgen.formats import bounded

MEMORY = "2GB"
"""Most memory that a scan takes; what does not fit is spilled to disk."""


@contextmanager
def database(spill: Path, memory: str = MEMORY) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory, of bounded size, that spills into a folder.

    Raises:
        ValueError: a table cannot be read. The message names the file, the line and the column, never a value.
    """
    settings = {"memory_limit": memory, "temp_directory": str(spill), "preserve_insertion_order": "false"}
    connection = duckdb.connect(config={**settings, "autoload_known_extensions": "false"})
    try:
        connection.execute("SET enable_progress_bar = false")
        yield connection
    except duckdb.Error as error:
        raise ValueError(_without_values(str(error))) from None
    finally:
        connection.close()


def table(path: Path, columns: Mapping[str, str]) -> str:
    """The SQL of a table with the columns named, each as the SQL type given.

    Raises:
        ValueError: it is no gzip file, or has no such column.
    """
    header = _header(path)
    absent = [name for name in columns if name not in header]
    if absent:
        raise ValueError(f"{path.name} has no column {absent[0]!r}; there is: {', '.join(header)}")
    types = ", ".join(f"{_quoted(name)}: {_quoted(columns.get(name, 'VARCHAR'))}" for name in header)
    return (
        f"(SELECT {', '.join(columns)} FROM read_csv({_quoted(glob.escape(str(path)))}, columns = {{{types}}}, "
        "auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"'))"
    )


def _header(path: Path) -> list[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(bounded.lines(file)), [])
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} cannot be read: {type(error).__name__}") from error


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"


def _without_values(problem: str) -> str:
    """DuckDB quotes the line it cannot read; a patient's line must not end in a log."""
    file = re.search(r"^\s*file = (.+)$", problem, re.MULTILINE)
    line = re.search(r"CSV Error on Line: (\d+)", problem)
    column = re.search(r"^Column (\w+) is being converted as type (\w+)", problem, re.MULTILINE)
    if line is None:
        return re.sub(r"(\"|').*?\1", "…", problem.partition("\n")[0])
    where = f"{Path(file[1]).name if file else 'a table'}, line {line[1]}"
    if column:
        return f"{where}: column {column[1]!r} is not a {column[2].lower()}"
    return f"{where}: not as many cells as the header, or a quote that does not end"
