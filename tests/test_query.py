"""The filter language: what it means, checked against a plain evaluation of every row, and what it refuses."""

import operator
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from indexed import publish, row
from ropeway import manifest as m
from ropeway.catalog import StoreCatalog
from ropeway.errors import QueryError
from ropeway.filters import Column, Dialect, compile_filter, parse
from ropeway.stores import open_store

CLASSES = ("SR", "AF", "it's")
TASKS = {
    "rhythm": m.Task(id="rhythm", type="multiclass", classes=CLASSES),
    "findings": m.Task(id="findings", type="multilabel", classes=CLASSES),
    "ef": m.Task(id="ef", type="regression"),
}
Truth: TypeAlias = bool | None
Sample: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Corpus:
    catalog: StoreCatalog
    samples: Sequence[Sample]

    def select(self, where: str, task: str | None = None) -> set[str]:
        """`dataset/key` of what a filter selects."""
        try:
            view = self.catalog.query(where=where, task=task)
        except QueryError as error:
            if "no sample matches" in str(error):
                return set()
            raise
        table = view.table()
        return {
            f"{table.shards[shard].dataset}/{key}"
            for shard, key in zip(table.shard.tolist(), table.keys.to_pylist(), strict=True)
        }


def drawn(rng: random.Random, number: int, dataset: str) -> dict[str, Any]:
    def maybe(value: Any) -> Any:
        return None if rng.random() < 0.25 else value

    one = dataset == "one"
    return {
        "id": f"{dataset}/k{number}", "number": number, "dataset": dataset, "key": f"k{number}",
        "domain": "ECG" if one else "CXR", "modality": ["ecg", "text"] if one else ["cxr"],
        "split": rng.choice(["train", "valid", "test"]), "subject": maybe(f"s{rng.randrange(4)}"),
        "age": maybe(rng.randrange(-2, 3)), "Site": maybe(rng.choice(["a", "B", "it's", "50%_x", ""])),
        "paced": maybe(rng.random() < 0.5), "bmi": maybe(rng.choice([-1.5, 0.0, 22.5])) if one else None,
        "ward": None if one else maybe(rng.choice(["a", "b"])),
        "parts": [part for part in (["x", "note"] if one else ["x", "cxr"]) if rng.random() < 0.6],
        "rhythm": maybe(rng.randrange(3)), "ef": maybe(rng.choice([-1.5, 0.0, 1.0])),
        "findings": maybe([n for n in range(3) if rng.random() < 0.4]),
    }  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    rng = random.Random(0)
    store = open_store(tmp_path_factory.mktemp("query"))
    samples = []
    for dataset in ("one", "two"):
        here = sorted((drawn(rng, number, dataset) for number in range(60)), key=lambda s: m.SPLITS.index(s["split"]))
        meta = {"age": "integer", "Site": "string", "paced": "boolean"}
        meta |= {"bmi": "number"} if dataset == "one" else {"ward": "string"}
        rows = [
            row(s["number"], split=s["split"], subject=s["subject"], parts=s["parts"],
                labels={task: s[task] for task in TASKS}, meta={name: s[name] for name in meta})
            for s in here
        ]  # fmt: skip
        publish(
            store, dataset, rows, parts=["x", "note"] if dataset == "one" else ["x", "cxr"],
            tasks=list(TASKS.values()), meta=meta, domain=here[0]["domain"], modalities=here[0]["modality"],
        )  # fmt: skip
        samples += here
    return Corpus(StoreCatalog(store), samples)


# A drawn filter: its text, and its meaning for one sample and task in SQL's three truth values.


@dataclass(frozen=True)
class Filter:
    text: str
    holds: Callable[[Sample, str | None], Truth]

    def __repr__(self) -> str:
        return self.text


def read(sample: Sample, column: str, task: str | None) -> Any:
    if column != "label":
        return sample[column]
    assert task is not None
    label = sample[task]
    if label is None or task == "ef":
        return label
    return [CLASSES[number] for number in label] if isinstance(label, list) else CLASSES[label]


def over(column: str, holds: Callable[[Any], bool]) -> Callable[[Sample, str | None], Truth]:
    """A comparison: null for null, and of a list it holds when it holds for any element."""

    def truth(sample: Sample, task: str | None) -> Truth:
        value = read(sample, column, task)
        if value is None:
            return None
        return any(map(holds, value)) if isinstance(value, list) else holds(value)

    return truth


def quoted(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def like(pattern: str, flags: int = 0) -> Callable[[Any], bool]:
    text = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern)
    return lambda value: re.fullmatch(text, value, flags | re.DOTALL) is not None


def negated(truth: Truth) -> Truth:
    return None if truth is None else not truth


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "==": operator.eq, "<>": operator.ne, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
NUMBERS = st.sampled_from([-2, -1.5, 0, 1, 2, 22.5, 10**30])
WORDS = st.sampled_from(["a", "B", "it's", "50%_x", "", "train", "one", "ECG", "ecg", "s1", "k7", "x;y--"])
TYPED = {
    "age": NUMBERS, "bmi": NUMBERS, "Site": WORDS, "ward": WORDS, "dataset": WORDS, "domain": WORDS, "modality": WORDS,
    "split": WORDS, "subject": WORDS, "key": WORDS,
}  # fmt: skip
TEXT = ["Site", "ward", "dataset", "modality", "subject"]
COLUMN = st.sampled_from(sorted(TYPED))


@st.composite
def comparisons(draw: st.DrawFn, labels: Sequence[Any], ordered: bool) -> Filter:
    with_label = bool(labels) and draw(st.booleans())
    column = "label" if with_label else draw(COLUMN)
    values = st.sampled_from(labels) if with_label else TYPED[column]
    kinds = ["equal", "in", "not in"] + (["compare", "mirrored", "between"] if ordered or not with_label else [])
    name = draw(st.sampled_from([column, column.upper(), f'"{column}"']))
    match draw(st.sampled_from(kinds)):
        case "in" | "not in" as kind:
            several = draw(st.lists(values, min_size=1, max_size=3))
            truth = over(column, lambda value: value in several)
            text = f"{name} {kind} ({', '.join(map(quoted, several))})"
            return Filter(text, truth if kind == "in" else lambda s, t: negated(truth(s, t)))
        case "between":
            low, high = draw(values), draw(values)
            return Filter(
                f"{name} BETWEEN {quoted(low)} AND {quoted(high)}", over(column, lambda v: bool(low <= v <= high))
            )
        case "mirrored":
            sign, value = draw(st.sampled_from(sorted(MIRRORED))), draw(values)
            return Filter(f"{quoted(value)} {sign} {name}", over(column, lambda v: COMPARE[MIRRORED[sign]](v, value)))
        case kind:
            signs = ["=", "==", "<>", "!="] if kind == "equal" else ["<", "<=", ">", ">="]
            sign, value = draw(st.sampled_from(signs)), draw(values)
            return Filter(f"{name} {sign} {quoted(value)}", over(column, lambda v: COMPARE[sign](v, value)))


@st.composite
def others(draw: st.DrawFn, labels: Sequence[Any]) -> Filter:
    match draw(st.sampled_from(["null", "not null", "has", "boolean", "constant", "like", "not like", "ilike"])):
        case "null" | "not null" as kind:
            column = draw(st.sampled_from([*TYPED, "paced"] + (["label"] if labels else [])))
            text = f"{column} IS {kind.upper()}"
            return Filter(text, lambda s, t: (read(s, column, t) is None) == (kind == "null"))
        case "has":
            part = draw(st.sampled_from(["x", "note", "cxr"]))
            return Filter(f"has('{part}')", lambda s, _: part in s["parts"])
        case "boolean":
            text = draw(st.sampled_from(["paced", "paced = true", "paced <> false", "PACED in (true)"]))
            return Filter(text, over("paced", bool))
        case "constant":
            value = draw(st.booleans())
            return Filter(str(value).lower(), lambda *_: value)
        case kind:
            column = draw(st.sampled_from(TEXT))
            pattern = draw(st.sampled_from(["%", "_", "a%", "%'s", "B", "e_g", "", "%\\%", "C%", "50%"]))
            truth = over(column, like(pattern, re.IGNORECASE if kind == "ilike" else 0))
            text = f"{column} {kind} {quoted(pattern)}"
            return Filter(text, truth if kind != "not like" else lambda s, t: negated(truth(s, t)))


def both(one: Filter, other: Filter) -> Filter:
    def truth(sample: Sample, task: str | None) -> Truth:
        sides = one.holds(sample, task), other.holds(sample, task)
        return False if False in sides else (None if None in sides else True)

    return Filter(f"({one}) and ({other})", truth)


def either(one: Filter, other: Filter) -> Filter:
    def truth(sample: Sample, task: str | None) -> Truth:
        sides = one.holds(sample, task), other.holds(sample, task)
        return True if True in sides else (None if None in sides else False)

    return Filter(f"({one}) OR ({other})", truth)


def inverse(one: Filter) -> Filter:
    return Filter(f"not ({one})", lambda sample, task: negated(one.holds(sample, task)))


def filters(labels: Sequence[Any] = (), *, ordered: bool = False) -> st.SearchStrategy[Filter]:
    leaves = comparisons(labels, ordered) | others(labels)
    return st.recursive(
        leaves,
        lambda inner: st.builds(both, inner, inner) | st.builds(either, inner, inner) | st.builds(inverse, inner),
        max_leaves=6,
    )


def expected(corpus: Corpus, drawn: Filter, task: str | None = None) -> set[str]:
    return {
        sample["id"]
        for sample in corpus.samples
        if (task is None or sample[task] is not None) and drawn.holds(sample, task) is True
    }


@settings(max_examples=300)
@given(drawn=filters())
def test_a_filter_means_what_it_says(corpus: Corpus, drawn: Filter) -> None:
    assert corpus.select(drawn.text) == expected(corpus, drawn)


@pytest.mark.parametrize("task", ["rhythm", "findings"])
@settings(max_examples=100)
@given(drawn=filters(CLASSES))
def test_labels_are_compared_by_class_name(corpus: Corpus, drawn: Filter, task: str) -> None:
    assert corpus.select(drawn.text, task) == expected(corpus, drawn, task)


@settings(max_examples=60)
@given(drawn=filters([-1.5, 0, 1, 0.5], ordered=True))
def test_a_number_to_predict_is_compared_as_one(corpus: Corpus, drawn: Filter) -> None:
    assert corpus.select(drawn.text, "ef") == expected(corpus, drawn, "ef")


def test_negation_in_the_predicate_is_negation(corpus: Corpus) -> None:
    """Regression: `x NOT LIKE …` selected what is LIKE."""
    for where in ("Site not like 'a%'", "not Site like 'a%'", "Site !~~ 'a%'"):
        chosen = {s["id"] for s in corpus.samples if s["Site"] is not None and not s["Site"].startswith("a")}
        assert corpus.select(where) == chosen


def test_comments_and_spaces_mean_nothing(corpus: Corpus) -> None:
    plain = corpus.select("age >= 1 and Site = 'a'")
    assert plain
    for where in ("age >= 1 -- or true\n and Site = 'a'", " age\t>=1\nAND/* or 1=1 */SITE = 'a' -- or true"):
        assert corpus.select(where) == plain


def test_many_conditions_and_long_lists_are_fine(corpus: Corpus) -> None:
    assert corpus.select(" or ".join(f"age = {number}" for number in range(3000))) == corpus.select("age >= 0")
    assert corpus.select(f"age in ({', '.join(map(str, range(20000)))})") == corpus.select("age >= 0")


REFUSED = [
    # more than an expression
    (" ", "one expression"), (";", "semicolons"), ("age > 1;", "semicolons"),
    ("age > 1; drop table rows", "semicolons"), ("age > 1 /* ; */", "semicolons"), ("-- age > 1", "one expression"),
    # other statements
    ("select 1", "select"), ("from rows", "select"), ("drop table rows", "drop"), ("pragma x", "pragma"),
    ("attach 'x.db'", "attach"), ("copy rows to 'x'", "copy"), ("install httpfs", "install"), ("set x = 1", "set"),
    ("age > 1 union select 1", "union"), ("age > 1 order by 1", "order"), ("age > 1 limit 1", "limit"),
    # subqueries and other tables
    ("age in (select 1)", "in: age in (select 1)"),
    ("age = (select 1)", "subquery"), ("exists (select 1)", "exists"),
    ("rows.age = 1", "column: rows.age"), ("main.rows.age = 1", "column"), ("a.b.c.d.e = 1", "dot"),
    ("age = any (select 1)", "any"), ("* = 1", "star"),
    ("rows.* = 1", "column: rows.*"), ("columns('x') = 1", "columns"),
    # functions, casts, arithmetic
    ("lower(site) = 'a'", "may not contain lower"), ("read_csv('x') = 1", "readcsv"),
    ("getenv('HOME') = 'x'", "only function"), ("has()", "only function"), ("has('x', 'note')", "only function"),
    ("has(x)", "only function"), ("has(1)", "only function"), ("has('x') = true", "compare a column"),
    ("has(distinct 'x')", "distinct"), ("has('x') over ()", "window"), ("has('x') filter (where true)", "filter"),
    ("count(*) > 1", "count"), ("age::text = '1'", "cast"), ("cast(age as text) = '1'", "cast"),
    ("try_cast(age as text) = '1'", "cast"), ("age = date '2020-01-01'", "cast"), ("age = current_date", "current"),
    ("age + 1 = 2", "add"), ("age ^ 1 = 2", "pow"),
    ("site || 'x' = 'ax'", "pipe"), ("case when paced then true end", "case"),
    ("site ~ 'a'", "regexp"), ("site similar to 'a'", "similar"), ("site glob 'a'", "glob"),
    ("site like 'a' escape 'x'", "escape"), ("site collate nocase = 'a'", "collate"), ("age[1] = 1", "bracket"),
    ("age is distinct from 1", "nullsafe"),
    ("age = interval '1' day", "interval"), ("age between symmetric 2 and 1", "between"),
    ("{'a': 1}.a = 1", "dot"), ("[1] = 1", "array"),
    ("(age, bmi) = (1, 2)", "tuple"), ("age in unnest([1])", "unnest"),
    ("x -> x = 1", "filter may not contain"),
    # placeholders and other quoting
    ("age = ?", "placeholder"), ("age = $1", "placeholder"), ("age = :a", "placeholder"), ("age = @a", "abs"),
    ("site = e'a'", "bytestring"), ("site = $$a$$", "rawstring"),
    ("site = x'00'", "does not parse"), ("age = 0x10", "alias"),
    ("site = 'a' 'b'", "concat"), ("site = 'a", "does not parse"),
    ("site = 'a\\'b'", "does not parse"), ('"age = 1', "does not parse"),
    # no condition
    ("'a'", "is a condition"), ("1", "is a condition"),
    ("null", "is a condition"), ("age", "number, not a condition"),
    ("site", "string, not a condition"), ("age and paced", "number, not a condition"), ("paced and 'b'", "literal"),
    ("age = 1 as x", "alias"), ("age > ", "does not parse"),
    ("age >> 1", "bitwise"), ("(age > 1", "does not parse"),
    ("age in ()", "in"), ("age in bmi", "in"), ("site in 'abc'", "in"), ("age is true", "after IS comes NULL"),
    ("age = 1 = 1", "compare a column with a value"), ("1 = 1", "compare a column with a value"),
    ("age = bmi", "not with bmi"), ("age = null", "not with NULL"), ("age in (null)", "not with NULL"),
    ("age = - - 1", "not with"),
    ("age is null is null", "compare a column"), ("(age > 1) is null", "compare a column"),
    # names and types
    ("agee > 1", "unknown column 'agee' in the filter; there is: age, bmi, dataset"),
    ('"a; drop" = 1', "semicolons"),
    ('"a"" or true" = 1', "unknown column"), ("rowid = 1", "unknown column 'rowid'"),
    ("row = 1", "filter"), ("offset = 1", "unknown column 'offset'"), ("crc32c = 1", "unknown column"),
    ("label = 'SR'", "name the task"), ("has('mri')", "unknown part 'mri' in the filter; there is: cxr, note, x"),
    ("age = 'old'", "age is a number; it can't be compared with 'old'"), ("site = 1", "site is a string"),
    ("paced = 1", "paced is a boolean"),
    ("age = true", "age is a number"), ("age between 'a' and 'b'", "age is a number"),
    ("age like 5", "age is a number; LIKE is for text"),
    ("age ilike 'a'", "ILIKE is for text"), ("paced like 'a'", "is for text"),
    ("'a' like site", "compare a column"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "says"), REFUSED, ids=[where for where, _ in REFUSED])
def test_what_is_outside_the_language_is_refused(corpus: Corpus, where: str, says: str) -> None:
    with pytest.raises(QueryError) as caught:
        corpus.catalog.query(where=where)
    assert says.lower() in str(caught.value).lower()
    assert "no sample matches" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_is_no_filter() -> None:
    with pytest.raises(QueryError, match="a filter is one expression"):
        parse("")


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("label = 'VT'", "'VT' is not a class of the task; its classes: SR, AF, it's"),
        ("label = 0", "0 is not a class"),
        ("label in ('SR', 'VT')", "'VT' is not a class"),
        ("label > 'SR'", "classes have no order"),
        ("'SR' > label", "classes have no order"),
        ("label between 'AF' and 'SR'", "classes have no order"),
        ("label like 'S%'", "classes have no order"),
        ("label", "is a string, not a condition"),
    ],
)
@pytest.mark.parametrize("task", ["rhythm", "findings"])
def test_classes_are_names_without_order(corpus: Corpus, task: str, where: str, says: str) -> None:
    with pytest.raises(QueryError, match=re.escape(says)):
        corpus.catalog.query(task=task, where=where)


@pytest.mark.parametrize("depth", [500, 5000, 50000])
@pytest.mark.parametrize(
    "nested",
    [
        lambda n: "(" * n + "age = 1" + ")" * n,
        lambda n: "not " * n + "paced",
        lambda n: "age = " + "- " * n + "1",
        lambda n: "age in (" * n + "1" + ")" * n,
        lambda n: "case when " * n + "paced",
        lambda n: "age = " + "[" * n,
    ],
)
def test_depth_is_refused_not_crashed_on(corpus: Corpus, nested: Callable[[int], str], depth: int) -> None:
    with pytest.raises(QueryError) as caught:
        corpus.catalog.query(where=nested(depth))
    assert len(str(caught.value)) < 1000


TOKENS = [
    *(
        "age",
        "paced",
        "site",
        "label",
        "has",
        "rows",
        "1",
        "²",
        "1e999",
        "9" * 50,
        "'a'",
        "''",
        "has('x')",
        "true",
        "null",
    ),
    *("and", "or", "not", "in", "is", "between", "like", "select", "from", "case", "end"),
    *("(", ")", "[", "{", "=", "<", "<>", "-", ",", ".", "*", "::", ";", "?", "$$", '"', "'", "\\"),
    *("--", "/*", "*/", "\n", "\x00"),
]


@settings(max_examples=400)
@given(where=st.lists(st.sampled_from(TOKENS), max_size=12).map(" ".join))
@example(where="age = ²")
@example(where="age = " + "9" * 5000)
@example(where="explain age")
def test_any_text_is_an_answer_or_a_query_error(corpus: Corpus, where: str) -> None:
    try:
        chosen, problem = corpus.select(where), ""
    except QueryError as error:
        chosen, problem = set(), str(error)
    assert chosen <= {sample["id"] for sample in corpus.samples}
    assert "\n" not in problem


@given(st.text(max_size=40))
def test_no_text_of_a_filter_reaches_the_database(secret: str) -> None:
    literal = "'" + f"secret{secret}".replace("'", "''") + "'"
    try:
        tree = parse(f"site = {literal} or site in ({literal})")
    except QueryError:
        assert ";" in secret or "\\" in secret or not secret.isprintable()
        return
    sql, params = compile_filter(tree, Dialect({"site": Column('"meta.site"', "string")}, {}))
    assert sql == '(("meta.site" = ?) OR ("meta.site" IN (?)))'
    assert params == [f"secret{secret}"] * 2
