"""The header of a GEO DataSet in SOFT: the study, its samples and the subsets that its curators made of them.

Source: https://www.ncbi.nlm.nih.gov/geo/info/soft.html and the files of https://ftp.ncbi.nlm.nih.gov/geo/datasets.
Lines are `^ENTITY = name`, `!attribute = value` or `#column = description`, until `!dataset_table_begin`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

TABLE_BEGIN = "!dataset_table_begin"
TABLE_END = "!dataset_table_end"

SUBSET_TYPES = (
    "age", "agent", "cell line", "cell type", "development stage", "disease state", "dose", "gender",
    "genotype/variation", "growth protocol", "individual", "infection", "isolate", "metabolism", "other", "protocol",
    "shock", "species", "specimen", "strain", "stress", "temperature", "time", "tissue",
)  # fmt: skip
"""What a subset can be by: the types of variable of a series, as GEO's SOFT guide and GEOmetadb list them."""


@dataclass(slots=True)
class Header:
    """A GEO DataSet without its table."""

    accession: str = ""
    attributes: dict[str, list[str]] = field(default_factory=dict)
    """Attribute of the DataSet, without `dataset_` → its values."""
    columns: dict[str, str] = field(default_factory=dict)
    """Column of the table → its description."""
    subsets: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """(sample, subset type) → descriptions of the subsets it is in."""

    def one(self, attribute: str) -> str | None:
        """An attribute's value, several joined by `; `."""
        return "; ".join(dict.fromkeys(self.attributes.get(attribute, ()))) or None

    @property
    def samples(self) -> list[str]:
        """The columns that are samples, in the table's order."""
        return [column for column in self.columns if column.startswith("GSM")]

    def subset(self, sample: str, kind: str) -> str | None:
        """What a sample is by a type of subset, several joined by `; `."""
        return "; ".join(dict.fromkeys(self.subsets.get((sample, kind), ()))) or None


def parse(lines: Iterable[str]) -> Header:
    """The header, from the lines before the table.

    Raises:
        ValueError: it is not that of a GEO DataSet, or a subset is of a type that is not known.
    """
    header = Header()
    entity, subset = "", dict[str, str]()
    for line in lines:
        name, _, value = line[1:].partition("=")
        name, value = name.strip(), value.strip()
        match line[:1]:
            case "^":
                _close(header, subset)
                entity, subset = name.upper(), {}
                if entity == "DATASET":
                    header.accession = value
            case "#":
                header.columns[name] = value
            case "!" if entity == "SUBSET":
                subset[name] = value
            case "!" if entity == "DATASET" and value:
                header.attributes.setdefault(name.removeprefix("dataset_"), []).append(value)
            case _:
                continue
    _close(header, subset)
    if not header.accession or not header.samples:
        raise ValueError("not a GEO DataSet: series and platforms (GSE, GPL) have another form")
    return header


def _close(header: Header, subset: dict[str, str]) -> None:
    if not subset:
        return
    kind = subset.get("subset_type", "")
    if kind not in SUBSET_TYPES:
        raise ValueError(f"a subset by {kind!r}, which is none of: {', '.join(SUBSET_TYPES)}")
    for sample in subset.get("subset_sample_id", "").split(","):
        header.subsets.setdefault((sample.strip(), kind), []).append(subset.get("subset_description", ""))
