"""MIMIC-IV: nothing from the prediction time on enters a sample, values are right, memory is bounded."""

import gzip
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mimic_reading import FEATURES, HADM, SUBJECT, grid, listed, one_stay, read, stays_options, values
from mimic_tree import HEADERS, HOSPITAL, Tree, at, write_table
from ropeway_shardgen.formats import workplace
from ropeway_shardgen.formats.mimic_events import EventLog, read_log, write_log
from ropeway_shardgen.formats.mimic_forms import events_payload, grid_payload, observed_payload, text_payload
from ropeway_shardgen.formats.mimic_stays import Stays
from ropeway_shardgen.recipe import configured

OUTCOMES = {"died", "length_of_stay", "icd_codes", "icd_chapters"}
"""Fields that only labels and metadata of the outcome come from."""


@pytest.fixture(autouse=True)
def _own_workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for place in [place for place in workplace._HELD if place.is_relative_to(tmp_path)]:
        workplace.release(place)


# nothing from the prediction time on

late_hours = st.floats(48, 2000)
any_value = st.floats(0.5, 400)
late_events = st.one_of(
    st.tuples(st.just("lab"), st.sampled_from([HADM, None]), late_hours, late_hours, any_value),
    st.tuples(st.just("lab"), st.sampled_from([HADM, None]), st.floats(0, 47), late_hours, any_value),
    st.tuples(st.just("chart"), st.just(HADM), late_hours, st.floats(0, 47), any_value),
    st.tuples(st.just("chart"), st.just(HADM), st.floats(0, 47), late_hours, any_value),
    st.tuples(st.just("ecg"), st.none(), late_hours, st.none(), st.none()),
    st.tuples(st.just("image"), st.none(), late_hours, st.none(), st.none()),
)


@settings(max_examples=12, deadline=None, phases=[Phase.generate])  # shrinking would take minutes
@given(late=st.lists(late_events, max_size=8), hours=st.floats(49, 1000), died=st.booleans(), coded=st.booleans())
def test_what_comes_after_the_prediction_time_changes_no_input(
    late: list[Any], hours: float, died: bool, coded: bool
) -> None:
    before, after = seen(early(one_stay())), early(one_stay(hours, died=hours if died else None))
    for number, (kind, hadm, hour, stored, value) in enumerate(late):
        if kind == "lab":
            after.lab(SUBJECT, hadm, hour, value, stored=stored)
        elif kind == "chart":
            after.chart(SUBJECT, hadm, hour, value, stored=stored)
        elif kind == "ecg":
            after.ecg(SUBJECT, 41_000_000 + number, hour)
        else:
            after.image(SUBJECT, 51_000_000 + number, f"late-{number}", hour, view="PA")
    if coded:
        after.codes(SUBJECT, HADM, "10:I46.9")
    assert seen(after) == before


def test_what_comes_before_does() -> None:
    changed = early(one_stay())
    changed.lab(SUBJECT, None, 46, 7.0, stored=47.9)
    assert seen(changed) != seen(early(one_stay()))


def early(tree: Tree) -> Tree:
    tree.lab(SUBJECT, HADM, 1, 1.5)
    tree.chart(SUBJECT, HADM, 40, 90)
    tree.ecg(SUBJECT, 40_000_001, 5)
    tree.image(SUBJECT, 50_000_001, "early", 6)
    return tree


def seen(tree: Tree) -> tuple[Any, ...]:
    """All that a model may see of the only stay of a tree: every form's bytes, and the fields that are no outcome."""
    with tempfile.TemporaryDirectory() as root:
        admissions = tree.write(Path(root))
        (fields,) = listed(admissions)
        stays = msgspec.convert(stays_options(), Stays)
        log = logged(Path(root) / "log", admissions, stays)
        definition, events = fields["definition"], log.of(0)
        payloads = (grid_payload(events, definition), observed_payload(events, definition), events_payload(events),
                    text_payload(events, log, fields))  # fmt: skip
    return ([(payload.content, payload.fields) for payload in payloads],
            {name: value for name, value in fields.items() if name not in OUTCOMES})  # fmt: skip


def logged(place: Path, admissions: Path, stays: Stays) -> EventLog:
    place.mkdir()
    write_log(place, admissions.parent.parent, stays)
    return read_log(place)


# which events

CASES = [(-0.01, 1, False), (0, 1, True), (47.99, 47.995, True), (47.99, 48, False), (48, 48.1, False), (10, 9, True)]


@pytest.mark.parametrize(("hour", "stored", "counts"), CASES)
def test_the_window_is_half_open_in_time_and_in_record(
    hour: float, stored: float, counts: bool, tmp_path: Path
) -> None:
    tree = one_stay()
    tree.lab(SUBJECT, HADM, hour, 3.0, stored=stored)
    admissions = tree.write(tmp_path)
    (fields,) = listed(admissions)
    assert grid(admissions, fields) == ({(int(hour), "creatinine"): 3.0} if counts else {})


def test_without_a_time_of_record_the_time_of_measurement_counts(tmp_path: Path) -> None:
    tree = one_stay()
    for hour in (2, 50):
        tree.lab(SUBJECT, HADM, hour, float(hour))
        tree.tables["hosp/labevents"][-1]["storetime"] = None
    admissions = tree.write(tmp_path)
    assert grid(admissions, listed(admissions)[0]) == {(2, "creatinine"): 2.0}


def test_events_belong_to_their_own_stay(tmp_path: Path) -> None:
    tree = one_stay(60)
    tree.admission(SUBJECT, HADM + 1, 60, start=500)
    tree.patient(SUBJECT + 1)
    tree.admission(SUBJECT + 1, HADM + 2, 60)
    tree.lab(SUBJECT, HADM, 1, 1.0)
    tree.lab(SUBJECT, HADM + 1, 2, 2.0)  # of the second stay, but in the first one's time
    tree.lab(SUBJECT, None, 503.5, 3.0, stored=504)
    tree.lab(SUBJECT, None, 300, 4.0)  # between them
    tree.lab(SUBJECT + 1, None, 3, 5.0)
    admissions = tree.write(tmp_path)
    found = [grid(admissions, fields) for fields in listed(admissions)]
    assert found == [{(1, "creatinine"): 1.0}, {(3, "creatinine"): 3.0}, {(3, "creatinine"): 5.0}]


def test_the_last_plausible_value_of_an_hour_in_the_features_unit(tmp_path: Path) -> None:
    tree = one_stay()
    tree.chart(SUBJECT, HADM, 3.9, 5000)
    tree.chart(SUBJECT, HADM, 3.5, 80)
    tree.chart(SUBJECT, HADM, 3.1, 70)
    tree.chart(SUBJECT, HADM, 7, 90, stored=9)  # corrected later
    tree.chart(SUBJECT, HADM, 7, 95, stored=8)
    tree.chart(SUBJECT, HADM, 8, 65, stored=10)
    tree.chart(SUBJECT, HADM, 8, 60, stored=9)
    tree.chart(SUBJECT, HADM, 4, 98.6, item=223761, unit="°F")
    tree.chart(SUBJECT, HADM, 5, float("nan"))
    admissions = tree.write(tmp_path)
    (fields,) = listed(admissions)
    payload = read(admissions, fields, "grid")
    temperature = float(np.float32(98.6 * 5 / 9 - 160 / 9))
    assert grid(admissions, fields) == {
        (3, "heart_rate"): 80.0,
        (4, "temperature"): temperature,
        (7, "heart_rate"): 90.0,
        (8, "heart_rate"): 65.0,
    }
    assert (payload.fields, payload.channels[1]) == ({"events": 8, "implausible": 1}, "heart_rate [/min]")
    observed = values(read(admissions, fields, "observed"))
    np.testing.assert_array_equal(observed, ~np.isnan(values(payload)))
    assert observed.dtype == np.uint8


def test_text_and_events_tell_of_items_that_no_feature_has(tmp_path: Path) -> None:
    tree = one_stay()
    tree.lab(SUBJECT, HADM, 1, 120, item=50931)
    tree.lab(SUBJECT, HADM, 2, 0.1 + 0.2, item=50931, unit="")
    tree.chart(SUBJECT, HADM, 3, 12, item=999, unit="cmH2O")
    admissions = tree.write(tmp_path)
    (fields,) = listed(admissions)
    lines = read(admissions, fields, "text").content.decode().splitlines()
    assert lines[4:] == ["item 999: 12 cmH2O", "Glucose (Blood): 0.3"]
    events = values(read(admissions, fields, "events"))
    np.testing.assert_array_equal(events, [[3600, 50931, 120], [7200, 50931, 0.1 + 0.2], [10800, 999, 12]])


# bad input


def test_bad_tables_are_named_and_no_value_is_told(tmp_path: Path) -> None:
    tree = one_stay()
    tree.lab(SUBJECT, HADM, 1, 1.5)
    tree.lab(SUBJECT, HADM, 1, "secret value")
    admissions = tree.write(tmp_path)
    (fields,) = listed(admissions)
    with pytest.raises(ValueError, match=r"labevents.csv.gz, line \d+: column 'valuenum' is not a double") as caught:
        read(admissions, fields, "grid")
    assert "secret" not in str(caught.value)
    admissions.write_bytes(admissions.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"admissions.csv.gz cannot be read|end of GZIP stream"):
        listed(admissions)
    write_table(admissions, ["subject_id", "hadm_id"], [])
    with pytest.raises(ValueError, match=r"admissions.csv.gz has no column 'admittime'; there is: subject_id, hadm_id"):
        listed(admissions)


def test_bad_options(tmp_path: Path) -> None:
    other = {"items": [1], "plausible": [0, 1], "convert": [[2, 1, 0]]}
    bad: dict[str, dict[str, Any]] = {
        "made of whole bins": {"window": [0, 47.5]},
        "after time zero": {"window": [-24, 0]},
        "each item in one": {"features": FEATURES | {"again": FEATURES["creatinine"]}},
        "not one of the feature's items": {"features": {"x": other}},
        "Invalid enum value": {"unit": "ward"},
    }
    for problem, changed in bad.items():
        with pytest.raises(msgspec.ValidationError, match=problem):
            configured("mimic-iv", {"stays": stays_options(**changed)})
    admissions = one_stay().write(tmp_path)
    adapter, options = configured("mimic-iv", {})
    assert adapter.rows is not None
    with pytest.raises(ValueError, match="must say which stays"):
        list(adapter.rows(admissions, options))
    unknown = {"lactate": {"items": [50813], "plausible": [0, 100]}}
    (fields,) = listed(admissions, features=unknown)
    with pytest.raises(ValueError, match="feature 'lactate': item 50813 is neither in d_labitems nor in d_items"):
        read(admissions, fields, "grid")


def test_all_tables_count_as_raw_files(tmp_path: Path) -> None:
    admissions = one_stay().write(tmp_path)
    adapter, options = configured("mimic-iv", {"stays": stays_options()})
    found = {path.relative_to(tmp_path).as_posix() for path in adapter.companions(admissions, options)}
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.csv*")}
    assert found == written - {f"{HOSPITAL}/hosp/admissions.csv.gz", f"{HOSPITAL}/icu/icustays.csv.gz"}
    parts_adapter, parts_options = configured("mimic-iv", {"form": "text"})
    assert parts_adapter.companions(admissions, parts_options) == []


# memory

MEASURED = """
import sys
from pathlib import Path
import msgspec
from ropeway_shardgen.formats.mimic_events import read_log, write_log
from ropeway_shardgen.formats.mimic_stays import Stays

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024

place, folder, stays = Path(sys.argv[1]), Path(sys.argv[2]), msgspec.json.decode(sys.argv[3], type=Stays)
open("/proc/self/clear_refs", "w").write("5")
before = peak()
place.mkdir()
write_log(place, folder, stays, memory="128MB")
log = read_log(place)
print(peak() - before, len(log.events), len(log.of(0)), (log.of(7)["seconds"][1:] >= log.of(7)["seconds"][:-1]).all())
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from /proc")
def test_memory_is_bounded(tmp_path: Path) -> None:
    """700,000 events within the limit of 128 MB, the libraries and the mapped log."""
    tree = Tree()
    for number in range(100):
        tree.patient(SUBJECT + number)
        tree.admission(SUBJECT + number, HADM + number, 100)
    admissions = tree.write(tmp_path)
    count = 700_000
    random = np.random.default_rng(0)
    who = random.integers(0, 100, count)
    minutes = pa.array([at(minute / 60) for minute in range(48 * 60)])
    columns = {name: pa.nulls(count, pa.string()) for name in HEADERS["icu/chartevents"].split()} | {
        "subject_id": pa.array(SUBJECT + who),
        "hadm_id": pa.array(HADM + who),
        "charttime": minutes.take(pa.array(random.integers(0, 48 * 60, count))),
        "itemid": pa.array(np.full(count, 220045)),
        "valuenum": pa.array(random.integers(1, 300, count)),
    }
    with gzip.open(admissions.parent.parent / "icu/chartevents.csv.gz", "wb", compresslevel=1) as file:
        pyarrow.csv.write_csv(pa.table(columns), file)
    told = msgspec.json.encode(stays_options(ecg="", cxr="")).decode()
    folder = str(admissions.parent.parent)
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "log"), folder, told]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown, events, first, in_order = done.stdout.split()
    assert (int(events), int(first), in_order) == (count, int((who == 0).sum()), "True")
    assert float(grown) < 200, "MiB"  # 163 measured; 229 without the limit
