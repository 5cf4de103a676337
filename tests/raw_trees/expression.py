"""Gene expression."""

import gzip
from pathlib import Path

import numpy as np

from raw_trees import Expected, raw_tree


@raw_tree("expression-atlas")
def expression_atlas(root: Path) -> Expected:
    """An RNA-seq experiment of two groups, one of them with quantiles, and a microarray experiment of three assays."""
    rnaseq, array = root / "experiments" / "E-MTAB-513", root / "experiments" / "E-GEOD-3307"
    for folder in (rnaseq, array):
        folder.mkdir(parents=True)
    (rnaseq / "E-MTAB-513-tpms.tsv").write_text(
        "Gene ID\tGene Name\tg1\tg2\nENSG00000000003\tTSPAN6\t1,2,3.5,4,5\t0.1\nENSG00000000005\t\t0,0,0,0,0.5\t-\n"
    )
    (rnaseq / "E-MTAB-513-transcripts-tpms.tsv").write_text("not read\n")
    (rnaseq / "E-MTAB-513-configuration.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<configuration experimentType="rnaseq_mrna_baseline"><analytics>'
        '<assay_groups><assay_group id="g1" label="liver"><assay>ERR1</assay><assay>ERR2</assay></assay_group>'
        '<assay_group id="g2" label="brain"><assay>ERR3</assay></assay_group></assay_groups>'
        "</analytics></configuration>"
    )
    parts = {("ERR1", "liver", "male"), ("ERR2", "liver", "female"), ("ERR3", "brain", "female")}
    design = [
        f"E-MTAB-513\t\t{assay}\t{kind}\t{name}\t{value}\thttp://www.ebi.ac.uk/efo/EFO_1\n"
        for assay, part, sex in sorted(parts)
        for kind, name, value in (
            ("characteristic", "organism", "Homo sapiens"),
            ("characteristic", "organism part", part),
            ("characteristic", "sex", sex),
            ("factor", "organism part", part),
        )
    ]
    (rnaseq / "E-MTAB-513.condensed-sdrf.tsv").write_text("".join(design))
    values = np.array([[7.25, 6.5, 8.0], [2.125, np.nan, 3.0]], np.float32)
    cells = ["\t".join("NA" if np.isnan(value) else str(value) for value in row) for row in values]
    (array / "E-GEOD-3307_A-AFFY-33-normalized-expressions.tsv").write_text(
        "Gene ID\tGene Name\tDesignElementAccession\tGSM1\tGSM2\tGSM3\n"
        f"ENSG00000000003\tTSPAN6\t209108_at\t{cells[0]}\nENSG00000000005\tTNMD\t220065_at\t{cells[1]}\n"
    )
    (array / "E-GEOD-3307.condensed-sdrf.tsv").write_text(
        "E-GEOD-3307\tA-AFFY-33\tGSM1\tcharacteristic\torganism\tHomo sapiens\n"
        "E-GEOD-3307\tA-AFFY-33\tGSM1\tcharacteristic\tdisease\tDuchenne’s dystrophy\n"
        "E-GEOD-3307\tA-AFFY-33\tGSM1\tfactor\tdisease\tDuchenne’s dystrophy\n"
        "E-GEOD-3307\tA-AFFY-33\tGSM1\tcharacteristic\tsex\tmale\n"
    )
    return Expected(
        splits={"train": 3, "test": 2},
        subjects=2,
        labels={
            "E-MTAB-513/rnaseq/g1": {"sex": None},
            "E-MTAB-513/rnaseq/g2": {"sex": "female"},
            "E-GEOD-3307/A-AFFY-33/GSM1": {"sex": "male"},
            "E-GEOD-3307/A-AFFY-33/GSM2": {"sex": None},
        },
        parts={
            "E-MTAB-513/rnaseq/g1": {
                "expression": np.array([[1, 2, 3.5, 4, 5], [0, 0, 0, 0, 0.5]], np.float32),
                "condition": "organism part: liver",
            },
            "E-MTAB-513/rnaseq/g2": {"expression": np.array([0.1, np.nan], np.float32)},
            "E-GEOD-3307/A-AFFY-33/GSM1": {"expression": values[:, 0], "condition": "disease: Duchenne’s dystrophy"},
            "E-GEOD-3307/A-AFFY-33/GSM2": {"expression": values[:, 1], "condition": None},
        },
        meta={
            "E-MTAB-513/rnaseq/g1": {
                "assays": "ERR1;ERR2",
                "sex": "male; female",
                "organism_part": "liver",
                "genes": 2,
            },
            "E-GEOD-3307/A-AFFY-33/GSM2": {"array": "A-AFFY-33", "missing": 1, "disease": None},
        },
    )


_GDS = """^DATABASE = Geo
!Database_name = Gene Expression Omnibus (GEO)
^DATASET = {name}
!dataset_title = {title}
!dataset_description = Analysis of {title}.
!dataset_type = Expression profiling by array
!dataset_pubmed_id = 24607843
!dataset_platform = GPL570
!dataset_platform_organism = Homo sapiens
!dataset_platform_technology_type = in situ oligonucleotide
!dataset_feature_count = 3
!dataset_sample_organism = Homo sapiens
!dataset_sample_count = 2
!dataset_value_type = count
!dataset_reference_series = {series}
{subsets}^DATASET = {name}
#ID_REF = Platform reference identifier
#IDENTIFIER = identifier
#{one} = Value for {one}: Kranke Größe; src: liver biopsy
#{two} = Value for {two}: control; src: liver
!dataset_table_begin
ID_REF\tIDENTIFIER\t{one}\t{two}
1007_s_at\tDDR1\t{cells[0]}\t1e-3
1053_at\tRFC2\tnull\t12
117_at\tHSPA6\t4.5\t-6.25
!dataset_table_end
"""


@raw_tree("geo")
def geo(root: Path) -> Expected:
    """Two DataSets of one series (in one split), in UTF-8 and in Latin-1, and a third that has no subset."""
    subset = (
        "^SUBSET = {0}_{1}\n!subset_dataset_id = {0}\n!subset_description = {2}\n"
        "!subset_sample_id = {3}\n!subset_type = {4}\n"
    )
    curated = subset.format("GDS11", 1, "cirrhosis", "GSM1", "disease state")
    curated += subset.format("GDS11", 2, "female", "GSM1,GSM2", "gender")
    again = subset.format("GDS12", 1, "pooled", "GSM3,GSM4", "gender")
    trees = {
        "GDS11": ("liver disease", "GSE7", curated, "GSM1", "GSM2", "utf-8"),
        "GDS12": ("liver disease, second array", "GSE7", again, "GSM3", "GSM4", "latin-1"),
        "GDS5373": ("something else", "GSE45627", "", "GSM5", "GSM6", "utf-8"),
    }
    for name, (title, series, subsets, one, two, encoding) in trees.items():
        text = _GDS.format(name=name, title=title, series=series, subsets=subsets, one=one, two=two, cells=["100.5"])
        folder = root / "datasets" / f"{name[:-3]}nnn" / name / "soft"
        folder.mkdir(parents=True)
        (folder / f"{name}.soft.gz").write_bytes(gzip.compress(text.encode(encoding), mtime=0))
    first, second = np.array([100.5, np.nan, 4.5], np.float32), np.array([1e-3, 12, -6.25], np.float32)
    return Expected(
        splits={"train": 4, "test": 2},
        subjects=6,
        labels={
            "GDS11/GSM1": {"sex": "female"},
            "GDS12/GSM3": {"sex": None},
            "GDS5373/GSM5": {"sex": None},
        },
        parts={
            "GDS11/GSM1": {
                "expression": first,
                "study": "liver disease\n\nAnalysis of liver disease.",
                "group": "cirrhosis",
            },
            "GDS11/GSM2": {"expression": second, "group": "female"},
            "GDS12/GSM4": {"expression": second, "group": "pooled"},
            "GDS5373/GSM5": {"expression": first, "group": None},
        },
        meta={
            "GDS11/GSM1": {"disease_state": "cirrhosis", "platform": "GPL570", "missing": 1, "genes": 3},
            "GDS12/GSM3": {"series": "GSE7", "sex": "pooled", "source": "liver biopsy", "value_type": "count"},
        },
    )
