"""The filter language: an expression over a dataset's columns, checked, and compiled to SQL for its index.

A filter is a SQL WHERE expression over `dataset, domain, modality, split, subject, key`, metadata by its bare name,
`label` (the query's task, by class name; a multi-label sample matches when any of its labels does) and `has('part')`.
It is parsed, checked against a whitelist, and compiled anew with bound parameters: no text of it reaches the database.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import sqlglot
from sqlglot import errors as sqlglot_errors
from sqlglot import expressions as exp

from ropeway.errors import QueryError
from ropeway.query import Scalar, short

ColumnType: TypeAlias = Literal["string", "number", "boolean"]
Tree: TypeAlias = Any
"""A sqlglot node (its base class has another name in every other release)."""

_EXACT_DIGITS = 18
"""Longer whole numbers would not fit the database's 64 bits; they compare as floating point."""


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


def parse(where: str) -> Tree:
    """The checked syntax tree of a filter expression.

    Raises:
        QueryError: it does not parse, is more than one expression, or uses something outside the language.
    """
    if any("\ud800" <= character <= "\udfff" for character in where):
        raise QueryError("a filter is Unicode text; this one has half a surrogate pair")
    with _refused(where):
        statements = sqlglot.parse(where, dialect="duckdb")
        if len(statements) != 1 or statements[0] is None or ";" in _outside_strings(where):
            raise QueryError("a filter is one expression, without semicolons")
        tree: Tree = statements[0]
        for node in tree.walk():
            allowed = _ARGUMENTS.get(type(node))
            if allowed is None or any(value and name not in allowed for name, value in node.args.items()):
                raise QueryError(f"a filter may not contain {_describe(node)}")
        if not isinstance(tree, _CONDITIONS):
            raise QueryError("a filter is a condition, such as age >= 60 and sex = 'F'; this is none")
    return tree


def column_names(tree: Tree) -> set[str]:
    """The columns that a filter uses, in lower case."""
    return {column.name.lower() for column in tree.find_all(exp.Column)}


def part_names(tree: Tree) -> set[str]:
    """The parts that a filter asks for with `has(…)`."""
    return {_has_part(call) for call in tree.find_all(exp.Anonymous)}


def compile_filter(tree: Tree, dialect: Dialect) -> tuple[str, list[Scalar]]:
    """SQL and its parameters for a filter in one dataset.

    Raises:
        QueryError: a column or part that no dataset has, a literal of the wrong type, or a class that is none.
    """
    compiler = _Compiler(dialect)
    with _refused(""):
        return compiler.condition(tree), compiler.params


_EQUALITY = ("=", "<>")
_COMPARISONS: dict[type, str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=",
    exp.Like: "LIKE", exp.ILike: "ILIKE",
}  # fmt: skip
_FLIPPED = {"=": "=", "<>": "<>", ">": "<", ">=": "<=", "<": ">", "<=": ">="}
_CONDITIONS = (exp.And, exp.Or, exp.Not, exp.Paren, exp.In, exp.Between, exp.Is, exp.Anonymous, exp.Column,
               exp.Boolean, *_COMPARISONS)  # fmt: skip
_BINARY = ("this", "expression")
_ARGUMENTS: dict[type, tuple[str, ...]] = {
    **dict.fromkeys((*_COMPARISONS, exp.And, exp.Or, exp.Is), _BINARY),
    **dict.fromkeys((exp.Like, exp.ILike), (*_BINARY, "negate")),
    **dict.fromkeys((exp.Not, exp.Paren, exp.Neg, exp.Column, exp.Boolean), ("this",)),
    exp.In: ("this", "expressions"),
    exp.Between: ("this", "low", "high"),
    exp.Anonymous: ("this", "expressions"),
    exp.Identifier: ("this", "quoted"),
    exp.Literal: ("this", "is_string"),
    exp.Null: (),
}
"""The whole language: node types, and what each may carry. What is not named here is refused, not ignored."""


class _Compiler:
    """One pass over a checked tree; collects parameters in the order their placeholders appear."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.params: list[Scalar] = []

    def condition(self, node: Tree) -> str:
        match node:
            case exp.And() | exp.Or():
                word = " AND " if isinstance(node, exp.And) else " OR "
                return f"({word.join(self.condition(side) for side in node.flatten())})"
            case exp.Not():
                return f"(NOT {self.condition(node.this)})"
            case exp.Paren():
                return self.condition(node.this)
            case exp.Boolean():
                return "TRUE" if node.this else "FALSE"
            case exp.Anonymous():
                return self.dialect.parts.get(_has_part(node), "FALSE")
            case _:
                return self.predicate(node)

    def predicate(self, node: Tree) -> str:
        match node:
            case exp.Is():
                return self.is_null(node)
            case exp.In() if node.expressions:
                return self.compare(node.this, lambda sql, bind: f"{sql} IN ({', '.join(map(bind, node.expressions))})")
            case exp.Between():
                self.check_order(node, node.this)
                low, high = node.args["low"], node.args["high"]
                return self.compare(node.this, lambda sql, bind: f"{sql} BETWEEN {bind(low)} AND {bind(high)}")
            case exp.Column():
                return self.truth(node)
            case _ if type(node) in _COMPARISONS:
                return self.binary(node)
        raise QueryError(f"a filter may not contain {_describe(node)} here")

    def binary(self, node: Tree) -> str:
        left, right, operator = node.this, node.expression, _COMPARISONS[type(node)]
        if not isinstance(left, exp.Column) and isinstance(right, exp.Column) and operator in _FLIPPED:
            left, right, operator = right, left, _FLIPPED[operator]
        if operator not in _EQUALITY:
            self.check_order(node, left)
        if operator not in _FLIPPED:
            column = self.column(left)
            if column is not None and column.type != "string":
                raise QueryError(f"{left.name} is a {column.type}; {operator} is for text: {_text(node)}")
        comparison = self.compare(left, lambda sql, bind: f"{sql} {operator} {bind(right)}")
        return f"(NOT {comparison})" if node.args.get("negate") else comparison

    def check_order(self, node: Tree, named: Tree) -> None:
        column = self.column(named)
        if column is not None and column.values is not None:
            raise QueryError(f"classes have no order: compare label with = or in (…): {_text(node)}")

    def compare(self, node: Tree, write: Callable[[str, Callable[[Tree], str]], str]) -> str:
        """A comparison of a column with literals; over a list it holds when it holds for any element."""
        column = self.column(node)
        if column is None:
            return "NULL"
        if column.many:
            body = write("x", lambda literal: self.bind(node, column, literal))
            return f"(len(list_filter({column.sql}, lambda x: {body})) > 0)"
        return f"({write(column.sql, lambda literal: self.bind(node, column, literal))})"

    def column(self, node: Tree) -> Column | None:
        """The column a node names; None when only other datasets have it."""
        if not isinstance(node, exp.Column) or node.table:
            raise QueryError(f"compare a column with a value, such as age >= 60, not: {_text(node)}")
        name = node.name.lower()
        if name in self.dialect.absent:
            return None
        if name not in self.dialect.columns:
            known = ", ".join(sorted({*self.dialect.columns, *self.dialect.absent}))
            hint = " (label needs a task)" if name == "label" else ""
            raise QueryError(f"unknown column {name!r} in the filter{hint}; there is: {known}")
        return self.dialect.columns[name]

    def bind(self, node: Tree, column: Column, literal: Tree) -> str:
        value = _literal(literal)
        kind = {str: "string", bool: "boolean"}.get(type(value), "number")
        if column.values is not None:
            if value not in column.values:
                classes = ", ".join(map(str, column.values))
                raise QueryError(f"{value!r} is not a class of the task; its classes: {classes}")
            value = column.values[value]
        elif kind != column.type:
            raise QueryError(f"{node.name} is a {column.type}; it can't be compared with {_text(literal)}")
        self.params.append(value)
        return "?"

    def truth(self, node: Tree) -> str:
        column = self.column(node)
        if column is None:
            return "NULL"
        if column.type != "boolean":
            raise QueryError(f"{node.name} is a {column.type}, not a condition: compare it with a value")
        return column.sql

    def is_null(self, node: Tree) -> str:
        if not isinstance(node.expression, exp.Null):
            raise QueryError(f"after IS comes NULL or NOT NULL: {_text(node)}")
        column = self.column(node.this)
        return "TRUE" if column is None else f"({column.sql} IS NULL)"


def _has_part(call: Tree) -> str:
    arguments = call.expressions
    if call.name.lower() != "has" or len(arguments) != 1 or not _is_string(arguments[0]):
        raise QueryError(f"the only function of a filter is has('part'), not {_text(call)}")
    return str(arguments[0].this)


def _is_string(node: Tree) -> bool:
    return isinstance(node, exp.Literal) and bool(node.is_string)


def _literal(node: Tree) -> Scalar:
    match node:
        case exp.Literal() if node.is_string:
            return str(node.this)
        case exp.Literal():
            return _number(str(node.this))
        case exp.Neg() if isinstance(node.this, exp.Literal) and not node.this.is_string:
            return -_number(str(node.this.this))
        case exp.Boolean():
            return bool(node.this)
        case exp.Paren():
            return _literal(node.this)
    raise QueryError(f"compare a column with a value (a number, 'text', true or false), not with {_text(node)}")


def _number(text: str) -> int | float:
    exact = text.isdecimal() and len(text) <= _EXACT_DIGITS
    return int(text) if exact else float(text)


def _describe(node: Tree) -> str:
    return f"{type(node).__name__.lower()}: {_text(node)}"


def _text(node: Tree) -> str:
    return short(str(node.sql(dialect="duckdb", unsupported_level=sqlglot.ErrorLevel.IGNORE)))


def _outside_strings(text: str) -> str:
    return "".join(text.split("'")[::2])


@contextmanager
def _refused(where: str) -> Iterator[None]:
    """Whatever is wrong with a filter becomes one QueryError of one line that shows the filter."""
    shown = f": {short(where)}" if where.strip() else ""
    try:
        yield
    except QueryError as error:
        raise QueryError(f"{error}{shown}") from error
    except RecursionError as error:
        raise QueryError(f"filter is nested too deeply{shown}") from error
    except (sqlglot_errors.SqlglotError, ValueError) as error:
        raise QueryError(f"filter does not parse: {_parse_problem(error)}{shown}") from error


def _parse_problem(error: Exception) -> str:
    problems = getattr(error, "errors", None)
    return str(problems[0].get("description", error)) if problems else short(str(error))
