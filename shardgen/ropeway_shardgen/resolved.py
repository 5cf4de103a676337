"""A sample's fields: those of its row, of joined tables, and derived ones, each worked out when it is asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ropeway.index import Value
from ropeway_shardgen.fields import Fields, compiled, fill, lookup, text
from ropeway_shardgen.joins import Join
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.pseudonyms import pseudonym
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.rules import FieldRule


@dataclass(frozen=True, slots=True)
class Rules:
    """What all samples of a plan share: the recipe, its joined tables, and the key of the pseudonyms."""

    recipe: Recipe
    joins: Mapping[str, Join]
    secret: bytes

    def pseudonym(self, raw: str, kind: str) -> str:
        """The pseudonym of an identifier of that kind."""
        return pseudonym(raw, self.recipe.namespace, kind, self.secret)


def resolved(row: Fields, rules: Rules) -> Fields:
    """All fields of one sample: its row, where the recipe derives and joins nothing."""
    return Resolved(row, rules) if rules.recipe.fields or rules.joins else row


class Resolved(Mapping[str, Value]):
    """All fields of one sample. A derived field hides a raw one of its name."""

    def __init__(self, row: Fields, rules: Rules) -> None:
        self._row, self._rules = row, rules
        self._found: dict[str, Value] = {}
        self._joined: dict[str, Fields] = {}

    def __getitem__(self, name: str) -> Value:
        if name not in self._found:
            self._found[name] = self._value(name)
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        if name in self._row or name in self._rules.recipe.fields:
            return True
        join = self._join(str(name))
        return join is not None and str(name)[len(join) + 1 :] in self._joined_row(join)

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys([*self._row, *self._rules.recipe.fields])
        for join in self._rules.joins:
            yield from (f"{join}.{column}" for column in self._joined_row(join))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _value(self, name: str) -> Value:
        rule = self._rules.recipe.fields.get(name)
        if rule is not None:
            return self._derived(name, rule)
        if name in self._row:
            return self._row[name]
        join = self._join(name)
        return self._row[name] if join is None else self._joined_row(join)[name[len(join) + 1 :]]

    def _join(self, name: str) -> str | None:
        join, dot, _ = name.partition(".")
        return join if dot and join in self._rules.joins else None

    def _joined_row(self, join: str) -> Fields:
        if join not in self._joined:
            self._joined[join] = self._rules.joins[join].row(self)
        return self._joined[join]

    def _derived(self, name: str, rule: FieldRule) -> Value:
        """What a rule takes and changes step by step; where nothing is left of it, the default."""
        value = self._taken(name, rule)
        for step in (_lowered, _told, _cut, _mapped):
            if value is not None:
                value = step(rule, value, name)
        if value is None:
            value = rule.default
        if value is None or not rule.pseudonym:
            return value
        return self._rules.pseudonym(text(value) or "", rule.pseudonym)

    def _taken(self, name: str, rule: FieldRule) -> Value:
        if rule.from_ == name:
            return lookup(self._row, name)
        if rule.from_:
            return lookup(self, rule.from_)
        if rule.first:
            return next((value for one in rule.first if (value := lookup(self, one)) not in (None, "")), None)
        if rule.template:
            return self._filled(rule)
        return rule.value

    def _filled(self, rule: FieldRule) -> Value:
        try:
            return fill(rule.template, self)
        except SampleError as error:
            if rule.default is None or error.reason != "missing value":
                raise
            return None


def _lowered(rule: FieldRule, value: Value, _name: str) -> Value:
    return (text(value) or "").strip().lower() or None if rule.lower else value


def _told(rule: FieldRule, value: Value, _name: str) -> Value:
    """The value, unless it is one of the words for none."""
    return None if text(value) in rule.missing else value


def _cut(rule: FieldRule, value: Value, name: str) -> Value:
    if not rule.pattern:
        return value
    match = compiled(rule.pattern).search(text(value) or "")
    if match is None:
        if rule.default is None:
            raise SampleError(f"field {name!r}: {text(value)!r} does not match {rule.pattern!r}")
        return None
    return match[1] if match.re.groups else match[0]


def _mapped(rule: FieldRule, value: Value, name: str) -> Value:
    if not rule.map:
        return value
    word = text(value) or ""
    if word not in rule.map and rule.default is None:
        raise SampleError(f"field {name!r}: {word!r} is none of: {', '.join(rule.map)}")
    return rule.map.get(word)
