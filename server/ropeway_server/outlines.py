"""Filters without their values, for the audit: a value may be about one person."""

from typing import Any

from sqlglot import expressions as exp

from ropeway.filters import parse


def outline(where: str) -> str:
    """A filter with `?` for each of its values.

    Raises:
        QueryError: it is none.
    """
    return str(parse(where).transform(_hidden).sql(dialect="duckdb", comments=False))


def _hidden(node: Any) -> Any:
    return exp.Placeholder() if isinstance(node, exp.Literal) else node
