"""The tables of a recipe file as frozen structures. `recipe.py` puts them together."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from ropeway.index import Value
from ropeway.manifest import Kind, SplitName, TaskType

Collect: TypeAlias = Literal["same", "first", "max", "min", "sum", "mean", "mode", "list", "count"]
"""How the values that several rows have in a column become one: `same` must agree, `mode` is the most frequent,
`list` joins the distinct ones, in order, with `;`."""

Words: TypeAlias = tuple[str, ...]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A table of a recipe file: keys that are not declared are refused."""


class Raw(Rule, frozen=True, kw_only=True):
    """For people: where the raw data is to be had, and what its folder looks like."""

    get: str
    folder: str


class Climb(Rule, frozen=True, kw_only=True):
    """For datasets of CLIMB (arXiv 2503.07667): what it counts, and where this recipe does otherwise."""

    core: bool = True
    """One of its 45; else one of those that only its code can read."""
    samples: int | None = None
    """As its Dataset_Info.md counts them."""
    departs: str = ""
    """Where this recipe departs from CLIMB's loader, and why."""


class TableRule(Rule, frozen=True, kw_only=True):
    """A table of the raw data. Paths are relative to the raw root; its columns are fields, and `row` (from 1)."""

    table: str | Words = ""
    """.csv or .tsv (also .gz), .parquet, .xlsx, .json or .jsonl; several, or a glob pattern, are read one after the
    other."""
    pattern: str = ""
    """A regular expression that the path of a table or file must match; its named groups are fields."""
    columns: Words = ()
    """The columns' names, for a table without a header."""
    skip: int = 0
    """Lines of a text file before its header."""
    delimiter: str = ""
    """One character; left out, a tab for .tsv and a comma for all else."""
    encoding: str = "utf-8-sig"
    missing: Words = ("",)
    """Words of the table that stand for a missing value."""
    may_lack: Words = ()
    """Columns that not all of the tables have: empty where they are not. Any other column must be there to be used."""

    @property
    def tables(self) -> Words:
        """The paths or patterns of its files."""
        return (self.table,) if isinstance(self.table, str) else self.table


class GroupRule(Rule, frozen=True, kw_only=True):
    """Rows with equal values of the fields `by` become one sample."""

    by: Words
    collect: Mapping[str, Collect] = {}
    """Column → how several rows become one value. A column not named here must agree where it is used."""


class Source(TableRule, frozen=True, kw_only=True):
    """Where samples come from: the rows of a table, files, or folders. Paths are relative to the raw root.

    Files and folders give one sample each, with the fields `path`, `name`, `stem` (the name up to its first dot) and
    `folder`, or as many as the adapter lists, with the adapter's fields too.
    """

    files: Words = ()
    """Glob patterns; `**` stands for any folders. Each must match something."""
    folders: Words = ()
    """Glob patterns of folders; all files below one belong to it."""
    adapter: str = ""
    """Lists the samples of each file or folder; left out, it is one sample."""
    options: Mapping[str, Any] = {}

    where: Mapping[str, Words] = {}
    """Only rows whose fields (the derived ones too) have one of these values."""
    group: GroupRule | None = None


class JoinRule(TableRule, frozen=True, kw_only=True):
    """A further table. What it says of a sample are the fields `<join>.<column>`."""

    on: Mapping[str, str]
    """Column of this table → template of the sample's fields that it must equal."""
    optional: bool = False
    """Whether a sample may have no row here: its fields are then empty."""
    collect: Mapping[str, Collect] = {}


class FieldRule(Rule, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A derived field: taken from another one, from a template, or constant; then cut out, mapped, pseudonymised."""

    from_: str = ""
    template: str = ""
    value: Value = None
    first: Words = ()
    """The first of these fields that is not empty."""
    missing: Words = ()
    """Words that mean: empty."""
    lower: bool = False
    """Blanks around are cut, capitals made small, before anything else."""
    pattern: str = ""
    """The first group (or all) of what this regular expression finds; it must match, unless there is a default."""
    map: Mapping[str, str] = {}
    """Raw word → word; a word that is not here is an error, unless there is a default."""
    default: Value = None
    """Stands in for an empty value, and for one that the pattern or the map does not know."""
    pseudonym: str = ""
    """A kind of identifier (`study`, `image`): the value is replaced by a keyed pseudonym of that kind."""


class PartRule(Rule, frozen=True, kw_only=True):
    """One part: which file it comes from, and which adapter reads it."""

    kind: Kind
    adapter: str
    file: str | Words = "{path}"
    """Template of the file's path, or several: the first that is there. Not used by an adapter that reads no file."""
    options: Mapping[str, Any] = {}
    optional: bool = False
    """Whether a sample may lack the part: its file is not there, or a field that it needs is empty."""
    bytes: int | None = None
    """About how many bytes one sample's part has packed, where the file's size says little."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    """Per channel, of values scaled to 0…1, as published for the dataset. Told to readers, never applied here."""
    windows: Mapping[str, tuple[float, float]] = {}
    """Ways to look at it: name → centre and width, in the part's units."""

    @property
    def paths(self) -> Words:
        """The templates of its file's path, best first."""
        return (self.file,) if isinstance(self.file, str) else self.file


class TaskRule(Rule, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A task and where its labels come from: one field, one field per class, or a part."""

    type: TaskType
    vocabulary: str = ""
    """The shared vocabulary that filled in what the recipe did not say (`vocabulary.py`)."""
    from_: str = ""
    """The field that holds the raw label."""
    columns: Mapping[str, str] = {}
    """Class → the field that says whether it applies. Classes without a field are unknown."""
    target: str = ""
    """The part that is the target: a mask, a report, the labels of a graph's nodes."""
    classes: Words = ()
    map: Mapping[str, str | Words] = {}
    """Raw label → class (or classes, for multilabel); left out, raw labels are class names."""
    unmapped: Literal["error", "ignore"] = "error"
    """What a raw label outside the map does: `ignore` leaves a multilabel word out, and the sample unlabelled where no
    word is left."""
    separator: str = ""
    """For multilabel tasks with `from`: what stands between the labels in the field."""
    words: str = ""
    """Or a regular expression that finds the labels: its first group, or all of each match."""
    positive: Words = ("1", "1.0")
    negative: Words = ("0", "0.0")
    unknown: Words = ("", "-1", "-1.0")
    """Words of `columns` fields; `""` is an empty one. Unknown is not negative."""
    unjudged: Words = ()
    """Classes of a multilabel task that this dataset never judges."""
    missing: Words = ()
    """Raw labels that mean unlabelled; an empty field always does."""
    where: Mapping[str, Words] = {}
    """Only samples whose fields have one of these values are labelled."""
    units: str = ""
    cap: float | None = None
    """For regression tasks, as for metadata: larger numbers are given as this one."""
    description: str = ""
    question: str = ""
    """What a person would ask; for the question-answer form."""


class MetaRule(Rule, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A metadata column. `from` is a field, or `part.field` for what an adapter finds in the part's file."""

    from_: str
    type: Literal["string", "integer", "number", "boolean"]
    missing: Words = ()
    cap: float | None = None
    """Larger numbers are given as this one: ages above 89 tell who it is."""


class SubjectRule(Rule, frozen=True, kw_only=True):
    """Who or what a sample is of; samples of one subject are never in two splits."""

    id: str
    """Template of the raw identifier."""
    pseudonym: bool = True
    """False only where the identifier names nobody (a row number, a well)."""
    namespace: str = ""
    """Datasets that share patients name one namespace; left out, it is the recipe's id."""


class StudyRule(Rule, frozen=True, kw_only=True):
    """What several samples of one visit share: an exam, a recording, a stay. Its pseudonym is the column `study`."""

    id: str
    """Template of the raw identifier."""


class SubjectHash(Rule, frozen=True, kw_only=True, tag_field="rule", tag="subject-hash"):
    """Subjects are dealt to splits by a keyed hash: no list to keep, and the same answer for data that grows."""

    fractions: Mapping[SplitName, float]
    by: str = ""
    """Template of a coarser group that is kept together (a site); left out, the subject."""
    seed: str = "ropeway"


class ColumnSplit(Rule, frozen=True, kw_only=True, tag_field="rule", tag="column", rename={"from_": "from"}):
    """The raw data says which split a sample is in."""

    from_: str
    map: Mapping[str, SplitName]
    """Raw word → split; `""` stands for an empty field."""
    otherwise: Mapping[SplitName, float] = {}
    """Where the field is empty: fractions by which those subjects are dealt, as `subject-hash` does."""
    leaks: str = ""
    """Why the official split has subjects on both sides: without such a reason it does not pack."""


class GroupSplit(Rule, frozen=True, kw_only=True, tag_field="rule", tag="groups", rename={"from_": "from"}):
    """Each value of a field (patients, sites, wells) is listed for one split."""

    from_: str
    train: Words = ()
    valid: Words = ()
    test: Words = ()
    leaks: str = ""
    """As for a column."""


SplitRule: TypeAlias = SubjectHash | ColumnSplit | GroupSplit
