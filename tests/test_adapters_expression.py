"""Adapters of gene expression: values, vocabularies, and bad files refused."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapter_reading import beside, read, read_all, rows
from ropeway import index
from ropeway.catalog import StoreCatalog
from ropeway.manifest import object_path
from ropeway.stores.local import LocalStore
from ropeway_shardgen.pack import pack
from ropeway_shardgen.recipe import load

Write = Callable[[str], Path]


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# expression tables


def index_rows(store: LocalStore, dataset: str) -> dict[str, dict[str, Any]]:
    manifest = StoreCatalog(store).manifest(dataset)
    files = [store.read(object_path(dataset, file.path)) for file in manifest.index]
    return {row["key"]: row for file in files for row in index.decode(file).to_pylist()}


@pytest.mark.parametrize(
    ("dataset", "lists", "part", "key", "table", "words"),
    [
        ("geo", "geo-probes", "probes", "GDS11/GSM2", "GDS11", "1007_s_at\tDDR1\n1053_at\tRFC2\n117_at\tHSPA6\n"),
        ("expression-atlas", "expression-atlas-genes", "genes", "E-MTAB-513/rnaseq/g1", "E-MTAB-513/rnaseq",
         "ENSG00000000003\tTSPAN6\nENSG00000000005\t\n"),
    ],
    ids=["geo", "expression-atlas"],
)  # fmt: skip
def test_vocabularies_are_packed_once_under_the_digest_that_samples_have(
    raw_folder: Write, tmp_path: Path, dataset: str, lists: str, part: str, key: str, table: str, words: str
) -> None:
    folder, store = raw_folder(dataset), LocalStore(tmp_path / "store")
    for name in (dataset, lists):
        pack(load(name), folder, store)
    sample, row = index_rows(store, dataset)[key], index_rows(store, lists)[table]
    assert sample["meta.vocabulary"] == row["meta.vocabulary"]
    assert sample["meta.genes"] == row["meta.genes"] == words.count("\n")
    start = row[f"{part}.offset"]
    stored = store.read(object_path(lists, row["shard"]), start, start + row[f"{part}.length"])
    assert bytes(stored).decode() == words


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("1,2,3.5,4,5", "1,2,3.5,4", r"assay 'g1' has cells of \[4, 5\] numbers"),
        ("0,0,0,0,0.5", "0", r"assay 'g1' has cells of \[1, 5\] numbers"),
        ("1,2,3.5,4,5", "1,2,x,4,5", "Failed to parse string: 'x'"),
        ("\t0.1\n", "\n", "Expected 4 columns, got 3"),
        ("Gene ID\tGene Name\tg1\tg2\n", "", "the first line is not that of an expression table"),
        ("ENSG00000000003\tTSPAN6\t1,2,3.5,4,5\t0.1\nENSG00000000005\t\t0,0,0,0,0.5\t-\n", "", "a table without rows"),
        ("\tg1\tg2\n", "\tg1\tg1\n", "the first line is not that of an expression table"),
    ],
)
def test_bad_expression_tables(raw_folder: Write, old: str, new: str, problem: str) -> None:
    path = raw_folder("expression-atlas") / "experiments" / "E-MTAB-513" / "E-MTAB-513-tpms.tsv"
    change(path, old, new)
    with pytest.raises(ValueError, match=problem):
        read_all("expression-atlas", path)


def test_a_missing_or_bad_design(raw_folder: Write) -> None:
    folder = raw_folder("expression-atlas") / "experiments" / "E-MTAB-513"
    path, configuration = folder / "E-MTAB-513-tpms.tsv", folder / "E-MTAB-513-configuration.xml"
    names = ["E-MTAB-513-configuration.xml", "E-MTAB-513.condensed-sdrf.tsv"]
    assert beside("expression-atlas", path) == names
    configuration.write_text("<!DOCTYPE x [<!ENTITY a 'b'>]><configuration/>")
    with pytest.raises(ValueError, match="declares entities"):
        rows("expression-atlas", path)
    configuration.write_text("<configuration>")
    with pytest.raises(ValueError, match="is not XML"):
        rows("expression-atlas", path)
    configuration.unlink()
    assert rows("expression-atlas", path)[0]["assays"] == "g1"
    sdrf = folder / names[1]
    sdrf.write_text("Assay\tSex\nERR1\tmale\n")
    with pytest.raises(ValueError, match=r"line 1 of E-MTAB-513\.condensed-sdrf\.tsv is not one of a condensed SDRF"):
        rows("expression-atlas", path)
    sdrf.unlink()
    with pytest.raises(FileNotFoundError):
        rows("expression-atlas", path)


# soft


def test_a_sample_of_a_geo_dataset(raw_folder: Write) -> None:
    path = next(raw_folder("geo").glob("**/GDS12.soft.gz"))
    first, second = rows("soft", path)
    assert (first["sample"], first["sample_title"], first["source"]) == ("GSM3", "Kranke Größe", "liver biopsy")
    assert (second["gender"], second["tissue"], second["series"]) == ("pooled", None, "GSE7")
    assert rows("soft", path, content="vocabulary")[0]["dataset"] == "GDS12"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("!dataset_table_end\n", "", "cut short: there is no !dataset_table_end"),
        ("!dataset_table_begin\n", "", "not a GEO DataSet, or cut short"),
        ("^DATASET", "^SERIES", "not a GEO DataSet"),
        ("disease state", "shoe size", "a subset by 'shoe size', which is none of: age,"),
        ("\t4.5\t", "\tabc\t", "Failed to parse string: 'abc'"),
        ("ID_REF\tIDENTIFIER", "ID_REF\tSYMBOL", "IDENTIFIER"),
    ],
)
def test_bad_geo_datasets(raw_folder: Write, old: str, new: str, problem: str) -> None:
    path = next(raw_folder("geo").glob("**/GDS11.soft.gz"))
    text = gzip.decompress(path.read_bytes()).decode()
    assert old in text
    path.write_bytes(gzip.compress(text.replace(old, new).encode()))
    with pytest.raises((ValueError, KeyError), match=problem):
        read_all("soft", path)


def test_a_geo_dataset_cut_in_its_compression(raw_folder: Write) -> None:
    path = next(raw_folder("geo").glob("**/GDS11.soft.gz"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises((ValueError, EOFError)):
        read("soft", path, {"sample": "GSM1"})
