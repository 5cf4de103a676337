"""What recipes can say of tables, joins, groups, labels, splits and folders, each on a raw folder made for it."""

import gzip
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ropeway import index
from ropeway.catalog import StoreCatalog
from ropeway.errors import RecipeError, SourceError
from ropeway.manifest import Manifest
from ropeway.stores.local import LocalStore
from ropeway.verify import verify
from ropeway_shardgen.pack import pack
from ropeway_shardgen.plan import Settings, inspect, make_plan
from ropeway_shardgen.planned import PlannedSample
from ropeway_shardgen.recipe import Recipe, loads
from ropeway_shardgen.vocabulary import vocabularies, vocabulary
from shardgen_raw import png

HEAD = """
id = "made"
key = "{id}"

[card]
title = "Made"
domain = "test"
modalities = ["table"]
licence = "CC0-1.0"
access = "open"
unit = "row"

[raw]
get = "made by a test"
folder = "tables"

[parts.values]
kind = "table"
adapter = "table"
options = { columns = ["number"] }

[subject]
id = "{id}"

[fields.number]
value = 1
"""
SOURCE = '[source]\ntable = "rows.csv"\n'
SPLIT = '[split]\nrule = "subject-hash"\nfractions = { train = 1.0 }\n'


def recipe(*more: str, source: str = SOURCE, split: str = SPLIT, head: str = HEAD) -> Recipe:
    return loads("\n".join((head, source, split, *more)), "made.toml")


def planned(one: Recipe, root: Path, **settings: Any) -> dict[str, PlannedSample]:
    plan = make_plan(one, root, Settings(**settings))
    return {sample.key: sample for shard in plan.shards for sample in shard.samples}


def table(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


ROWS: list[dict[str, Any]] = [{"id": "a", "age": 3, "site": "x"}, {"id": "b", "age": None, "site": "ü"}]
META = '[meta]\nage = { from = "age", type = "integer" }\nsite = { from = "site", type = "string" }\n'


def write_csv(path: Path) -> None:
    path.write_text("id,age,site\na,3,x\nb,,ü\n")


def write_gz(path: Path) -> None:
    path.write_bytes(gzip.compress("id\tage\tsite\na\t3\tx\nb\t\tü\n".encode()))


def write_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), path)


def write_sheet(path: Path) -> None:
    book = openpyxl.Workbook()
    for cells in (("id", "age", "site", None), ("a", 3, "x"), (None,), ("b", None, "ü")):
        book.worksheets[0].append(cells)
    book.save(path)


def write_json(path: Path) -> None:
    path.write_text(json.dumps([{"id": "a", "age": 3, "site": "x"}, {"id": "b", "site": "ü"}]))


def write_lines(path: Path) -> None:
    path.write_text('{"id": "a", "age": 3, "site": "x"}\n\n{"id": "b", "site": "ü"}\n')


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("rows.csv", write_csv), ("rows.tsv.gz", write_gz), ("rows.parquet", write_parquet),
        ("rows.xlsx", write_sheet), ("rows.json", write_json), ("rows.jsonl", write_lines),
    ],
)  # fmt: skip
def test_every_kind_of_table_gives_the_same_rows(name: str, write: Any, tmp_path: Path) -> None:
    write(tmp_path / name)
    found = planned(recipe(META, source=f'[source]\ntable = "{name}"\n'), tmp_path)
    assert {key: dict(sample.meta) for key, sample in found.items()} == {
        "a": {"age": 3, "site": "x"},
        "b": {"age": None, "site": "ü"},
    }
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:20])
    with pytest.raises(SourceError, match=rf"table {name} cannot be read|has no header|no field|cells"):
        planned(recipe(META, source=f'[source]\ntable = "{name}"\n'), tmp_path)


@pytest.mark.parametrize("name", ["rows.csv", "rows.xlsx"])
def test_a_row_wider_than_the_header_is_told(name: str, tmp_path: Path) -> None:
    if name == "rows.csv":
        (tmp_path / name).write_text("id,age,site\na,3,x\nb,4,y,lost\n")
    else:
        book = openpyxl.Workbook()
        for cells in (("id", "age", "site"), ("a", 3, "x"), ("b", 4, "y", None, "lost")):
            book.worksheets[0].append(cells)
        book.save(tmp_path / name)
    with pytest.raises(SourceError, match=rf"row 2 of {name} has [45] cells, the header 3"):
        planned(recipe(META, source=f'[source]\ntable = "{name}"\n'), tmp_path)


def sparse_sheet(path: Path) -> None:
    """A workbook of a few bytes whose second row is the millionth, and sixteen thousand cells wide."""
    write_sheet(path.with_name("small.xlsx"))
    with zipfile.ZipFile(path.with_name("small.xlsx")) as small, zipfile.ZipFile(path, "w") as sparse:
        for name in small.namelist():
            content = small.read(name)
            if name.endswith("sheet1.xml"):
                content = content.replace(b"A1:D4", b"A1:XFD1000000").replace(b'<row r="4"', b'<row r="1000000"')
                content = re.sub(rb'r="([A-D])4"', rb'r="\g<1>1000000"', content)
            sparse.writestr(name, content)


def test_a_sheet_that_is_mostly_empty_is_read_in_no_time(tmp_path: Path) -> None:
    sparse_sheet(tmp_path / "rows.xlsx")
    assert set(planned(recipe(META, source='[source]\ntable = "rows.xlsx"\n'), tmp_path)) == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "start", "problem"),
    [
        ("rows.csv.gz", b"id\na", "a line is longer than 16,777,216 characters"),
        ("rows.jsonl.gz", b'{"id":"', "a line is longer than 16,777,216 characters"),
        ("rows.json.gz", b"[", "it unpacks to more than 33,554,432 bytes"),
    ],
)
def test_bombs_among_tables(
    name: str, start: bytes, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ropeway_shardgen.tables._LARGEST", 1 << 25)
    with gzip.open(tmp_path / name, "wb", compresslevel=1) as file:
        file.write(start + b" " * (1 << 26))
    with pytest.raises(SourceError, match=problem):
        planned(recipe(source=f'[source]\ntable = "{name}"\n'), tmp_path)


def test_a_workbook_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ropeway_shardgen.tables._LARGEST", 1 << 10)
    write_sheet(tmp_path / "rows.xlsx")
    with pytest.raises(SourceError, match="it unpacks to more than 1,024 bytes"):
        planned(recipe(source='[source]\ntable = "rows.xlsx"\n'), tmp_path)


def test_nested_objects_and_lists_are_flattened(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[{"id": "a", "case": {"age": 3}, "site": ["x", "y"]}]')
    one = recipe(META.replace('from = "age"', 'from = "case.age"'), source='[source]\ntable = "rows.json"\n')
    assert planned(one, tmp_path)["a"].meta == {"age": 3, "site": "x;y"}


SEVERAL = '[source]\ntable = ["mass_*.csv", "calc_*.csv"]\npattern = "_(?P<set>train|test)"\n'
SHAPES = """
[fields.any]
first = ["shape", "form"]
[meta]
shape = { from = "any", type = "string" }
"""


def test_several_tables_are_one_source(tmp_path: Path) -> None:
    table(tmp_path / "mass_train.csv", "id,shape", "a,round")
    table(tmp_path / "calc_test.csv", "id,form", "b,oval")
    split = '[split]\nrule = "column"\nfrom = "set"\nmap = { train = "train", test = "test" }\n'
    source = SEVERAL + 'may_lack = ["shape", "form"]\n'
    found = planned(recipe(SHAPES, source=source, split=split), tmp_path)
    assert {key: (s.split, s.meta["shape"]) for key, s in found.items()} == {
        "a": ("train", "round"),
        "b": ("test", "oval"),
    }


def test_a_column_that_only_one_of_several_tables_has_cannot_be_used(tmp_path: Path) -> None:
    table(tmp_path / "mass_train.csv", "id,shape", "a,round")
    table(tmp_path / "calc_test.csv", "id,shapes", "b,oval")
    one = recipe(SHAPES.replace('"shape", "form"', '"shape"'), source=SEVERAL)
    with pytest.raises(SourceError, match=r"there is no field 'shape'; there is: .*shapes.* \(row 1 of calc_test\.csv"):
        planned(one, tmp_path)
    table(tmp_path / "rows.csv", "id", "a", "b")
    join = (
        SEVERAL.replace("[source]", "[joins.marks]") + 'on = { id = "{id}" }\n' + SHAPES.replace("shape", "marks.shape")
    )
    with pytest.raises(SourceError, match=r"joins\.marks: there is no column 'shape'; there is: set, id, shapes"):
        planned(recipe(join.replace('"form"', '"marks.shape"').replace("\nmarks.shape =", "\nshape =")), tmp_path)


JOINED = """
[joins.labels]
table = "labels.csv"
on = { who = "{person}" }
[fields]
person = { from = "id", pattern = "^(.)" }
[meta]
finding = { from = "labels.finding", type = "string" }
"""


def test_a_join_adds_what_another_table_says(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id", "a1", "b1")
    table(tmp_path / "labels.csv", "who,finding,other", "b,cyst,3", "a,none,4")
    one = recipe(JOINED)
    assert {key: s.meta["finding"] for key, s in planned(one, tmp_path).items()} == {"a1": "none", "b1": "cyst"}
    before = make_plan(one, tmp_path).version
    table(tmp_path / "labels.csv", "who,finding,other", "b,cyst,3", "a,none,44")
    assert make_plan(one, tmp_path).version != before


def test_a_join_without_a_row_is_an_error_unless_it_is_optional(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id", "a1", "b1")
    table(tmp_path / "labels.csv", "who,finding", "a,none")
    with pytest.raises(SourceError, match=r"no row in labels.csv for who 'b' \(row 2 of rows.csv\)"):
        planned(recipe(JOINED), tmp_path)
    found = planned(recipe(JOINED.replace('"labels.csv"\n', '"labels.csv"\noptional = true\n')), tmp_path)
    assert found["b1"].meta == {"finding": None}


def test_an_optional_join_that_never_fits_is_told(tmp_path: Path) -> None:
    """Keys written otherwise (1.0 for 1) would leave every sample without what the table says."""
    table(tmp_path / "rows.csv", "id", "a1", "b1")
    table(tmp_path / "labels.csv", "who,finding", "A,none", "B,cyst")
    one = recipe(JOINED.replace('"labels.csv"\n', '"labels.csv"\noptional = true\n'))
    with pytest.raises(SourceError, match=r"joins.labels: not one sample has a row in labels.csv: are its keys"):
        planned(one, tmp_path)
    assert planned(one, tmp_path, limit=1)


def test_rows_that_differ_must_be_collected(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id", "a1")
    table(tmp_path / "labels.csv", "who,finding", "a,none", "a,cyst", "a,none")
    with pytest.raises(SourceError, match="column 'finding' differs between the 3 rows of one sample"):
        planned(recipe(JOINED), tmp_path)
    for how, value in (("list", "none;cyst"), ("mode", "none"), ("first", "none"), ("count", "3")):
        one = recipe(JOINED, f'[joins.labels.collect]\nfinding = "{how}"\n')
        assert planned(one, tmp_path)["a1"].meta == {"finding": value}
    with pytest.raises(SourceError, match="column 'finding' has a value that is not a number"):
        planned(recipe(JOINED, '[joins.labels.collect]\nfinding = "max"\n'), tmp_path)


def test_a_join_on_a_column_that_is_not_there(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id", "a1")
    table(tmp_path / "labels.csv", "patient,finding", "a,none")
    with pytest.raises(SourceError, match=r"joins.labels: there is no column 'who'; there is: patient, finding"):
        planned(recipe(JOINED), tmp_path)


def test_rules_that_need_themselves_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"fields\.(a|b): needs itself"):
        recipe('[fields.a]\nfrom = "b"\n[fields.b]\ntemplate = "{a}"\n')
    with pytest.raises(RecipeError, match="needs itself"):
        recipe('[joins.j]\ntable = "x.csv"\non = { k = "{f}" }\n[fields.f]\nfrom = "j.v"\n')


def test_a_field_may_refine_the_column_of_its_name(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id,sex", "a, Male ", "b,f", "c,?")
    more = """
    [fields.sex]
    from = "sex"
    lower = true
    map = { male = "M", f = "F" }
    default = "unknown"
    [meta]
    sex = { from = "sex", type = "string" }
    """
    assert [s.meta["sex"] for _, s in sorted(planned(recipe(more), tmp_path).items())] == ["M", "F", "unknown"]


def test_rows_of_one_sample_become_one(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id,side,birads,lesion", "a,L,2,1", "a,L,4,2", "b,R,3,1")
    source = SOURCE + '[source.group]\nby = ["id"]\ncollect = { birads = "max" }\n'
    more = '[meta]\nbirads = { from = "birads", type = "integer" }\nside = { from = "side", type = "string" }\n'
    found = planned(recipe(more, source=source), tmp_path)
    assert {key: dict(s.meta) for key, s in found.items()} == {
        "a": {"birads": 4, "side": "L"},
        "b": {"birads": 3, "side": "R"},
    }
    with pytest.raises(SourceError, match="column 'lesion' differs between the 2 rows"):
        planned(recipe(more, 'lesion = { from = "lesion", type = "integer" }\n', source=source), tmp_path)


# Labels


def labels(one: Recipe, root: Path) -> dict[str, Any]:
    return {key: sample.labels.get("finding") for key, sample in planned(one, root).items()}


def test_columns_of_a_multilabel_task_keep_unknown_apart_from_negative(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id,oedema,fracture", "a,1.0,0.0", "b,-1.0,1", "c,0,0", "d,,-1")
    task = """
    [tasks.finding]
    type = "multilabel"
    classes = ["oedema", "fracture", "nodule"]
    columns = { oedema = "oedema", fracture = "fracture" }
    """
    assert labels(recipe(task), tmp_path) == {"a": [0, -3], "b": [1, -1, -3], "c": [-3], "d": None}
    table(tmp_path / "rows.csv", "id,oedema,fracture", "a,yes,0.0")
    with pytest.raises(SourceError, match="label 'yes' in field 'oedema' is none of the words"):
        planned(recipe(task), tmp_path)


def test_one_column_per_class_of_a_multiclass_task(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id,mel,nv", "a,0.0,1.0", "b,1.0,0.0")
    task = '[tasks.finding]\ntype = "multiclass"\nclasses = ["mel", "nv"]\ncolumns = { mel = "mel", nv = "nv" }\n'
    assert labels(recipe(task), tmp_path) == {"a": 1, "b": 0}
    table(tmp_path / "rows.csv", "id,mel,nv", "a,1.0,1.0")
    with pytest.raises(SourceError, match="label: 2 of mel, nv are positive, not one"):
        planned(recipe(task), tmp_path)


CODES = """
[tasks.finding]
type = "multilabel"
from = "codes"
separator = ","
classes = ["mi", "cd", "fracture"]
map = { "1" = "mi", "2" = ["mi", "cd"], "3" = [] }
"""


def test_a_code_may_mean_several_classes_or_none(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id,codes", 'a,"1,2"', "b,3", 'c,"3, 1"', "d,")
    assert labels(recipe(CODES), tmp_path) == {"a": [0, 1], "b": [], "c": [0], "d": None}
    assert labels(recipe(CODES + 'unjudged = ["fracture"]\n'), tmp_path)["c"] == [0, -3]


def test_codes_outside_the_map(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id,codes", 'a,"1,9"')
    with pytest.raises(SourceError, match="label '9' in field 'codes' is none of: 1, 2, 3"):
        planned(recipe(CODES), tmp_path)
    table(tmp_path / "rows.csv", "id,codes", 'a,"1,9"', "b,9", "c,3")
    assert labels(recipe(CODES + 'unmapped = "ignore"\n'), tmp_path) == {"a": [0], "b": None, "c": []}


@pytest.mark.parametrize("told", ['separator = ","', "words = 'code (\\d)'"])
def test_a_field_in_which_no_code_is_found_is_not_all_negative(told: str, tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id,codes", "a,code 1", "b,;") if "words" in told else table(
        tmp_path / "rows.csv", "id,codes", "a,1", 'b,","'
    )
    codes = CODES.replace('separator = ","', told)
    with pytest.raises(SourceError, match="field 'codes' is not empty, but there is no label in it"):
        planned(recipe(codes), tmp_path)
    assert labels(recipe(codes + 'missing = [",", ";"]\n'), tmp_path) == {"a": [0], "b": None}


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ('type = "multilabel"\nfrom = "x"\nclasses = ["a"]', "separator: what stands between"),
        ('type = "multiclass"\nfrom = "x"\nclasses = ["a", "b"]\nmap = { "1" = ["a", "b"] }', "only a multilabel task"),
        ('type = "segmentation"\nfrom = "x"', "target: a segmentation task names the part"),
        ('type = "text"\ntarget = "report"', "target: there is no part 'report'"),
        ('type = "binary"\nfrom = "x"\ncolumns = { a = "y" }\nclasses = ["a", "b"]', "give one of from, columns and"),
        ('type = "multilabel"\nclasses = ["a"]\ncolumns = { z = "y" }', "columns: 'z' is not one of the classes"),
        ('type = "binary"\nfrom = "x"\nclasses = ["a", "b"]\ncap = 90', "cap: for regression tasks"),
        ('vocabulary = "ecg"\nfrom = "x"', "tasks.finding.vocabulary: no vocabulary 'ecg'; there is: "),
    ],
)
def test_tasks_that_cannot_be(task: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        recipe(f"[tasks.finding]\n{task}\n")


@pytest.mark.parametrize("name", vocabularies())
def test_vocabularies_say_what_people_and_models_ask(name: str) -> None:
    shared = vocabulary(name)
    assert {"type", "description", "question"} <= shared.keys()
    named = [one if isinstance(one, list) else [one] for one in shared.get("map", {}).values()]
    assert {one for names in named for one in names} <= set(shared.get("classes", ()))


# Splits


def test_subjects_an_official_split_leaves_out_are_dealt(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id,set", "a,validate", *(f"p{number}," for number in range(40)))
    split = '[split]\nrule = "column"\nfrom = "set"\nmap = { validate = "valid" }\n'
    dealt = "otherwise = { train = 0.5, test = 0.5 }\n"
    found = planned(recipe(split=split + dealt), tmp_path)
    assert found["a"].split == "valid"
    assert {sample.split for key, sample in found.items() if key != "a"} == {"train", "test"}
    with pytest.raises(SourceError, match="split '' in field 'set' is none of: validate"):
        planned(recipe(split=split), tmp_path)


LEAKY = '[split]\nrule = "column"\nfrom = "set"\nmap = { train = "train", test = "test" }\n'


def test_an_official_split_that_leaks_needs_a_reason(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id,who,set", "a,p,train", "b,p,test")
    head = HEAD.replace('id = "{id}"', 'id = "{who}"')
    with pytest.raises(SourceError, match="is in the splits train and test"):
        planned(recipe(split=LEAKY, head=head), tmp_path)
    said = recipe(split=LEAKY + 'leaks = "the challenge was split by image"\n', head=head)
    store = LocalStore(tmp_path / "store")
    manifest = pack(said, tmp_path, store).manifest
    assert manifest.provenance.leaks == "the challenge was split by image"
    assert not verify(store, manifest).problems


def shared(
    name: str, split: str, secret: bytes, tmp_path: Path, more: str = "", namespace: str = 'namespace = "hospital"'
) -> Manifest:
    table(tmp_path / name / "rows.csv", "id,set", f"a,{split}", "b,train")
    head = HEAD.replace('"made"', f'"{name}"').replace('id = "{id}"', f'id = "{{id}}"\n{namespace}')
    one = recipe(split=LEAKY + more, head=head)
    return pack(one, tmp_path / name, LocalStore(tmp_path / "store"), Settings(secret=secret)).manifest


def test_patients_that_datasets_share_are_in_one_split(tmp_path: Path) -> None:
    key = b"0123456789abcdef"
    shared("images", "train", key, tmp_path)
    shared("agrees", "train", key, tmp_path)
    with pytest.raises(SourceError, match=r"1 subjects are in another split of agrees@[0-9a-f]+, which has the same"):
        shared("records", "test", key, tmp_path)
    assert [one.id for one in StoreCatalog(LocalStore(tmp_path / "store")).datasets()] == ["agrees", "images"]
    shared("records", "test", key, tmp_path, 'leaks = "official"\n')
    shared("other-key", "test", b"another key, of a site", tmp_path)
    with pytest.raises(SourceError, match="1 subjects are in another split of agrees@"):
        shared("hospital", "test", key, tmp_path, namespace="")  # its own name is the others' namespace


# Folders, companions, studies, what is told of parts


def test_a_folder_is_a_sample_and_all_its_files_count(tmp_path: Path) -> None:
    for name in ("s1/a.png", "s1/deep/b.png", "s2/a.png"):
        (tmp_path / "studies" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "studies" / name).write_bytes(png(1))
    head = HEAD.replace("{id}", "{name}") + '[parts.image]\nkind = "image"\nadapter = "image"\nfile = "{path}/a.png"\n'
    one = recipe(source='[source]\nfolders = ["studies/*"]\n', head=head)
    plan = make_plan(one, tmp_path)
    assert (plan.samples, plan.source_files) == (2, 3)
    (tmp_path / "studies/s1/deep/c.png").write_bytes(png(2))
    assert make_plan(one, tmp_path).version != plan.version
    with pytest.raises(SourceError, match=r"raw folder missing: study/\*"):
        planned(recipe(source='[source]\nfolders = ["study/*"]\n', head=head), tmp_path)


def test_the_first_path_that_is_there(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id", "a", "b", "c")
    (tmp_path / "a.jpg").write_bytes(png(1))
    (tmp_path / "b.JPG").write_bytes(png(2))
    head = HEAD + '[parts.image]\nkind = "image"\nadapter = "image"\nfile = ["{id}.jpg", "{id}.JPG"]\n'
    with pytest.raises(SourceError, match=r"raw file missing: c.jpg or c.JPG \(row 3 of rows.csv\)"):
        planned(recipe(head=head), tmp_path)
    found = planned(recipe(head=head + "optional = true\n"), tmp_path)
    assert [found[key].files.get("image") for key in "abc"] == ["a.jpg", "b.JPG", None]


def test_studies_are_counted_and_their_ids_are_pseudonyms(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id,visit", "a,V1", "b,V1", "c,V2")
    store = LocalStore(tmp_path / "store")
    manifest = pack(recipe('[study]\nid = "{visit}"\n'), tmp_path, store).manifest
    assert [(split.samples, split.subjects, split.studies) for split in manifest.splits] == [(3, 3, 2)]
    studies = index.decode(store.read(f"made/{manifest.index[0].path}")).column("meta.study").to_pylist()
    assert len(set(studies)) == 2
    assert not any("V" in study for study in studies)


def test_identifiers_in_keys_are_replaced(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id,mrn", "a,123", "b,456")
    head = HEAD.replace('key = "{id}"', 'key = "{who}/{id}"') + '[fields.who]\nfrom = "mrn"\npseudonym = "patient"\n'
    assert not any("123" in key or "456" in key for key in planned(recipe(head=head), tmp_path))


def test_what_is_published_of_a_part_is_in_the_manifest(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id", "a")
    told = "mean = [0.5]\nstd = [0.25]\nwindows = { lung = [-600, 1500] }\n"
    head = HEAD.replace('options = { columns = ["number"] }\n', 'options = { columns = ["number"] }\n' + told)
    store = LocalStore(tmp_path / "store")
    part = pack(recipe(head=head), tmp_path, store).manifest.parts[0]
    windows: Mapping[str, tuple[float, float]] = {"lung": (-600, 1500)}
    assert (part.mean, part.std, part.windows) == ((0.5,), (0.25,), windows)


def test_a_task_whose_target_is_a_part(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id", "a", "b")
    (tmp_path / "a.png").write_bytes(png(1))
    head = HEAD + '[parts.mask]\nkind = "image"\nadapter = "image"\nfile = "{id}.png"\noptional = true\n'
    one = recipe('[tasks.outline]\ntype = "segmentation"\ntarget = "mask"\nclasses = ["tumour"]\n', head=head)
    store = LocalStore(tmp_path / "store")
    pack(one, tmp_path, store)
    catalog = StoreCatalog(store)
    view = catalog.query(task="outline")
    assert (view.samples, [task.id for task in view.info.tasks]) == (1, [])
    assert [(found.task.type, found.task.target) for found in catalog.tasks()] == [("segmentation", "mask")]


def test_ages_are_capped(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id,age", "a,97", "b,40")
    one = recipe('[meta]\nage = { from = "age", type = "integer", cap = 90 }\n')
    assert {key: sample.meta["age"] for key, sample in planned(one, tmp_path).items()} == {"a": 90, "b": 40}
    one = recipe('[tasks.finding]\ntype = "regression"\nfrom = "age"\ncap = 90\n')
    assert labels(one, tmp_path) == {"a": 90, "b": 40}


def test_inspecting_tells_all_that_is_wrong(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", "id", "a1", "b1", "c1")
    table(tmp_path / "labels.csv", "who,finding", "a,none")
    assert inspect(recipe(JOINED), tmp_path) == [
        "no row in labels.csv for who 'b' (row 2 of rows.csv)",
        "no row in labels.csv for who 'c' (row 3 of rows.csv)",
    ]
