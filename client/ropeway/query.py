"""The query language: what a person asks for, and its filter expression compiled to SQL for one dataset's index.

A filter is a SQL WHERE expression over `dataset, domain, modality, split, subject, key`, metadata by its bare name,
`label` (the query's task, by class name; a multi-label sample matches when any of its labels does) and `has('part')`.
It is parsed, checked against a whitelist, and compiled anew with bound parameters: no text of it reaches the database.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import sqlglot
from sqlglot import errors as sqlglot_errors
from sqlglot import expressions as exp

from ropeway.errors import QueryError

Scalar: TypeAlias = str | int | float | bool
ColumnType: TypeAlias = Literal["string", "number", "boolean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to select. Every given condition must hold; `task` also leaves out samples not labelled for it."""

    task: str | None = None
    split: str | None = None
    where: str | None = None
    datasets: tuple[str, ...] | None = None
    domain: str | None = None
    modality: str | None = None
    parts: tuple[str, ...] = ()
    """Parts that a sample must have."""


@dataclass(frozen=True, slots=True)
class Column:
    """How a filter's column reads in one dataset: SQL text made by us, its type, and what literals stand for."""

    sql: str
    type: ColumnType
    many: bool = False
    """The value is a list; a comparison holds when it holds for any element."""
    values: Mapping[Scalar, int] | None = None
    """For labels: class name → stored position."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The columns a filter may use, for one dataset. A column of another dataset only is `absent`: always null."""

    columns: Mapping[str, Column]
    parts: Mapping[str, str]
    """Part name → SQL that is true where a sample has it."""
    absent: frozenset[str] = field(default_factory=frozenset)


def parse(where: str) -> exp.Expression:
    """The checked syntax tree of a filter expression.

    Raises:
        QueryError: it does not parse, is more than one expression, or uses something outside the language.
    """
    try:
        statements = sqlglot.parse(where, dialect="duckdb")
    except sqlglot_errors.SqlglotError as error:
        raise QueryError(f"filter does not parse: {_parse_problem(error)}: {where}") from error
    if len(statements) != 1 or statements[0] is None or ";" in _outside_strings(where):
        raise QueryError(f"a filter is one expression, without semicolons: {where}")
    tree = statements[0]
    for node in tree.walk():
        if type(node) not in _ALLOWED:
            raise QueryError(f"a filter may not contain {_describe(node)}: {where}")
    if not isinstance(tree, _CONDITIONS):
        raise QueryError(f"a filter is a condition, such as age >= 60 and sex = 'F'; this is none: {where}")
    return tree


def column_names(tree: exp.Expression) -> set[str]:
    """The columns that a filter uses."""
    return {column.name.lower() for column in tree.find_all(exp.Column)}


def part_names(tree: exp.Expression) -> set[str]:
    """The parts that a filter asks for with `has(…)`."""
    return {_has_part(call) for call in tree.find_all(exp.Anonymous)}


def compile_filter(tree: exp.Expression, dialect: Dialect) -> tuple[str, list[Scalar]]:
    """SQL and its parameters for a filter in one dataset.

    Raises:
        QueryError: a column or part that no dataset has, a literal of the wrong type, or a class that is none.
    """
    compiler = _Compiler(dialect)
    return compiler.condition(tree), compiler.params


_COMPARISONS: dict[type[exp.Expression], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=",
    exp.Like: "LIKE", exp.ILike: "ILIKE",
}  # fmt: skip
_FLIPPED = {"=": "=", "<>": "<>", ">": "<", ">=": "<=", "<": ">", "<=": ">="}
_CONDITIONS = (exp.And, exp.Or, exp.Not, exp.Paren, exp.In, exp.Between, exp.Is, exp.Anonymous, exp.Column,
               exp.Boolean, *_COMPARISONS)  # fmt: skip
_ALLOWED = {*_CONDITIONS, exp.Identifier, exp.Literal, exp.Neg, exp.Null, exp.Tuple}


class _Compiler:
    """One pass over a checked tree; collects parameters in the order their placeholders appear."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.params: list[Scalar] = []

    def condition(self, node: exp.Expression) -> str:
        match node:
            case exp.And() | exp.Or():
                word = "AND" if isinstance(node, exp.And) else "OR"
                return f"({self.condition(node.this)} {word} {self.condition(node.expression)})"
            case exp.Not():
                return f"(NOT {self.condition(node.this)})"
            case exp.Paren():
                return self.condition(node.this)
            case exp.Boolean():
                return "TRUE" if node.this else "FALSE"
            case exp.Anonymous():
                return self.has(_has_part(node))
            case exp.Is():
                return self.is_null(node)
            case exp.In():
                return self.compare(node.this, lambda sql, bind: f"{sql} IN ({', '.join(map(bind, node.expressions))})")
            case exp.Between():
                low, high = node.args["low"], node.args["high"]
                return self.compare(node.this, lambda sql, bind: f"{sql} BETWEEN {bind(low)} AND {bind(high)}")
            case exp.Column():
                return self.truth(node)
            case _ if type(node) in _COMPARISONS:
                return self.binary(node)
        raise QueryError(f"a filter may not contain {_describe(node)} here: {node.sql()}")

    def binary(self, node: exp.Expression) -> str:
        left, right, operator = node.this, node.expression, _COMPARISONS[type(node)]
        if not isinstance(left, exp.Column) and isinstance(right, exp.Column) and operator in _FLIPPED:
            left, right, operator = right, left, _FLIPPED[operator]
        column = self.column(left)
        if column is not None and operator not in ("=", "<>") and column.values is not None:
            raise QueryError(f"classes have no order: compare label with = or in (…): {node.sql()}")
        return self.compare(left, lambda sql, bind: f"{sql} {operator} {bind(right)}")

    def compare(self, node: exp.Expression, write: Callable[[str, Callable[[exp.Expression], str]], str]) -> str:
        """A comparison of a column with literals; over a list it holds when it holds for any element."""
        column = self.column(node)
        if column is None:
            return "NULL"
        if column.many:
            body = write("x", lambda literal: self.bind(node, column, literal))
            return f"(len(list_filter({column.sql}, lambda x: {body})) > 0)"
        return f"({write(column.sql, lambda literal: self.bind(node, column, literal))})"

    def column(self, node: exp.Expression) -> Column | None:
        """The column a node names; None when only other datasets have it."""
        if not isinstance(node, exp.Column) or node.table:
            raise QueryError(f"compare a column with a value, such as age >= 60, not: {node.sql()}")
        name = node.name.lower()
        if name in self.dialect.absent:
            return None
        if name not in self.dialect.columns:
            known = ", ".join(sorted({*self.dialect.columns, *self.dialect.absent}))
            hint = " (label needs a task)" if name == "label" else ""
            raise QueryError(f"unknown column {name!r} in the filter{hint}; there is: {known}")
        return self.dialect.columns[name]

    def bind(self, node: exp.Expression, column: Column, literal: exp.Expression) -> str:
        value = _literal(literal)
        kind = {str: "string", bool: "boolean"}.get(type(value), "number")
        if column.values is not None:
            if value not in column.values:
                classes = ", ".join(map(str, column.values))
                raise QueryError(f"{value!r} is not a class of the task; its classes: {classes}")
            value = column.values[value]
        elif kind != column.type:
            raise QueryError(f"{node.name} is a {column.type}; it can't be compared with {literal.sql()}")
        self.params.append(value)
        return "?"

    def truth(self, node: exp.Column) -> str:
        column = self.column(node)
        if column is None:
            return "NULL"
        if column.type != "boolean":
            raise QueryError(f"{node.name} is a {column.type}, not a condition: compare it with a value")
        return column.sql

    def is_null(self, node: exp.Is) -> str:
        if not isinstance(node.expression, exp.Null):
            raise QueryError(f"after IS comes NULL or NOT NULL: {node.sql()}")
        column = self.column(node.this)
        return "TRUE" if column is None else f"({column.sql} IS NULL)"

    def has(self, part: str) -> str:
        return self.dialect.parts.get(part, "FALSE")


def _has_part(call: exp.Anonymous) -> str:
    arguments = call.expressions
    if call.name.lower() != "has" or len(arguments) != 1 or not _is_string(arguments[0]):
        raise QueryError(f"the only function of a filter is has('part'), not {call.sql()}")
    return str(arguments[0].this)


def _is_string(node: exp.Expression) -> bool:
    return isinstance(node, exp.Literal) and bool(node.is_string)


def _literal(node: Any) -> Scalar:
    match node:
        case exp.Literal() if node.is_string:
            return str(node.this)
        case exp.Literal():
            text = str(node.this)
            return int(text) if text.isdigit() else float(text)
        case exp.Neg() if isinstance(node.this, exp.Literal) and not node.this.is_string:
            return -float(node.this.this) if not str(node.this.this).isdigit() else -int(node.this.this)
        case exp.Boolean():
            return bool(node.this)
        case exp.Paren():
            return _literal(node.this)
    raise QueryError(f"compare a column with a value (a number, 'text', true or false), not with {node.sql()}")


def _describe(node: exp.Expression) -> str:
    return f"{type(node).__name__.lower()} ({node.sql()})"


def _outside_strings(text: str) -> str:
    return "".join(text.split("'")[::2])


def _parse_problem(error: sqlglot_errors.SqlglotError) -> str:
    problems = getattr(error, "errors", None)
    return str(problems[0].get("description", error)) if problems else str(error).splitlines()[0]
