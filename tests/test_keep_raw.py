"""Originals beside decoded parts: nothing that names a person survives, and the values are those of the file."""

import gzip
import importlib
import io
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pydicom.data
import pyedflib
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from typer.testing import CliRunner

import contents
import ropeway
from originals import KEY, described, findings
from ropeway.catalog import StoreCatalog
from ropeway.cli import make_app
from ropeway.decode import DECODERS
from ropeway.decoders.dicom import quiet
from ropeway.errors import UsageError
from ropeway.manifest import Manifest
from ropeway.privacy import lint
from ropeway.privacy_rules import Identifiers
from ropeway.stored import stored_samples
from ropeway.stores import Store, open_store
from ropeway.verify import verify
from ropeway_shardgen.formats import dicom_burned_in, edf_blank, nifti_blank
from ropeway_shardgen.formats.dicom_deidentify import METHOD, deidentified, kept
from ropeway_shardgen.keep_raw import with_originals
from ropeway_shardgen.pack import pack
from ropeway_shardgen.plan import Settings
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.pseudonyms import uid, uid_key
from ropeway_shardgen.recipe import Recipe, load, loads
from shardgen_raw import png, real_root, write_raw
from shardgen_raw import recipe as tiny_recipe

DATA = Path(pydicom.data.__file__).parent
FILES = DATA / "test_files"
KINDS: Any = nibabel
IMAGES = [
    "CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm",
    "image_dfl.dcm",
    "MR_small_jp2klossless.dcm", "JPEG2000.dcm", "JPGExtended.dcm", "examples_palette.dcm", "examples_ybr_color.dcm",
    "examples_overlay.dcm", "SC_rgb_rle_2frame.dcm", "SC_rgb_small_odd_big_endian.dcm", "693_J2KI.dcm", "rtdose.dcm",
    "SC_ybr_full_422_uncompressed.dcm", "MR_small_jpeg_ls_lossless.dcm", "liver_1frame.dcm", "emri_small.dcm",
]  # fmt: skip


def read(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def pixels(dataset: Dataset) -> Any:
    from pydicom.pixels.utils import pixel_array

    return pixel_array(dataset)


@pytest.mark.parametrize("name", [name for name in IMAGES if (FILES / name).exists()])
def test_real_images_keep_their_pixels_and_nothing_else(name: str) -> None:
    with quiet():
        raw = pydicom.dcmread(FILES / name)
        expected = pixels(raw)
    content = kept(FILES / name, KEY).content
    new = read(content)
    np.testing.assert_array_equal(pixels(new), expected, strict=True)
    assert new.file_meta.TransferSyntaxUID == raw.file_meta.TransferSyntaxUID
    assert kept(FILES / name, KEY).content == content
    patient = str(raw.get("PatientName", "")) or "nobody at all"
    assert findings("dcm", content, patient, str(raw.get("PatientID", ""))) == []
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert new.get(keyword) == (uid(raw[keyword].value, KEY) if keyword in raw else None)
    assert (new.PatientName, new.PatientID, new.StudyDate, new.DeidentificationMethod) == ("", "", "", METHOD)
    for tag in (element.tag for element in new):
        assert not tag.is_private
        assert not 0x6000 <= tag.group <= 0x60FF


@pytest.mark.parametrize("name", sorted(path.name for path in (DATA / "charset_files").glob("*.dcm")))
def test_names_in_any_character_set_are_dropped(name: str) -> None:
    """pydicom's files of names in Arabic, Greek, Hebrew, Japanese, Korean, Russian, …; they hold no pixels."""
    raw = pydicom.dcmread(DATA / "charset_files" / name, force=True)
    people = [str(element.value) for element in raw.iterall() if element.VR == "PN" and str(element.value)]
    assert people
    raw.SOPClassUID = raw.get("SOPClassUID") or pydicom.uid.CTImageStorage
    raw.SOPInstanceUID = raw.get("SOPInstanceUID") or "1.2.3.4.5.6.7.8.9.10"
    raw.file_meta = getattr(raw, "file_meta", None) or pydicom.dataset.FileMetaDataset()
    raw.file_meta.TransferSyntaxUID = raw.file_meta.get("TransferSyntaxUID") or pydicom.uid.ImplicitVRLittleEndian
    with quiet():
        content = deidentified(raw, KEY)
    names = [part for name in people for part in name.split("=")]
    assert findings("dcm", content, *names) == []
    assert findings("dcm", written(raw), *names)


def radiograph() -> Dataset:
    """A header as digital radiography writes it: names, dates, institution, devices, comments, private blocks."""
    dataset = pydicom.dcmread(FILES / "CT_small.dcm")
    planted = {
        "PatientName": "Planted^Petra^^Dr.", "PatientID": "PLANTED-77", "PatientBirthDate": "19230405",
        "PatientAddress": "Planted Road 7", "OtherPatientIDs": ["PLANTED1", "PLANTED2"], "PatientAge": "097Y",
        "InstitutionName": "Planted Hospital", "StationName": "PLANTED", "OperatorsName": "Planted^Otto",
        "StudyDate": "20010203", "AcquisitionDateTime": "20010203040506", "SeriesTime": "040506",
        "AccessionNumber": "PLANTED7", "StudyDescription": "planted", "ImageComments": "planted comment",
        "PatientSex": "F", "BodyPartExamined": "CHEST", "Manufacturer": "Planted Systems", "ProtocolName": "planted",
        "DeviceSerialNumber": "planted", "ConvolutionKernel": "B30", "FrameOfReferenceUID": "1.2.3.4.5.6.7.8.9",
        "ContentDate": "20010203", "ModalityLUTType": "planted text",
    }  # fmt: skip
    for name, value in planted.items():
        setattr(dataset, name, value)
    inner = Dataset()
    inner.ReferencedSOPInstanceUID, inner.PersonName = "1.2.3.4.5.6.7.8.9.1", "Planted^Inner"
    dataset.ReferencedImageSequence = Sequence([inner])
    measures = Dataset()
    measures.PixelSpacing, measures.ImageComments = [0.5, 0.5], "planted deep"
    group = Dataset()
    group.PixelMeasuresSequence = Sequence([measures])
    dataset.SharedFunctionalGroupsSequence = Sequence([group])
    dataset.add_new(0x00091001, "LO", "planted private")
    dataset.add_new(0x60000010, "US", 2)
    dataset.add_new(0x60003000, "OW", b"planted overlay.")
    dataset.add_new(0x00420011, "OB", b"planted document")
    dataset.preamble = b"planted preamble".ljust(128, b"\0")
    dataset.file_meta.SourceApplicationEntityTitle = "PLANTED"
    return dataset


def written(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    with quiet():
        dataset.save_as(file)
    return file.getvalue()


def test_nothing_planted_survives() -> None:
    raw = written(radiograph())
    assert raw.lower().count(b"planted") > 15
    with quiet():
        content = deidentified(read(raw), KEY)
    assert b"planted" not in content.lower()
    assert b"petra" not in content.lower()
    for date in (b"20010203", b"19230405", b"040506", b"1.2.3.4.5.6.7.8.9"):
        assert date not in content
    new = read(content)
    assert (new.PatientAge, new.PatientSex, new.BodyPartExamined) == ("090Y", "F", "CHEST")
    assert new.ConvolutionKernel == "B30"
    assert "Manufacturer" not in new  # it holds a word of the patient's name
    assert new.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing == [0.5, 0.5]
    assert "ReferencedImageSequence" not in new
    assert new.FrameOfReferenceUID == uid("1.2.3.4.5.6.7.8.9", KEY)
    assert new.file_meta.MediaStorageSOPInstanceUID == new.SOPInstanceUID
    assert [code.CodeValue for code in new.DeidentificationMethodCodeSequence] == ["113100", "113108"]
    np.testing.assert_array_equal(pixels(new), pixels(read(raw)))
    assert findings("dcm", content, "Petra Planted", "PLANTED-77") == []


def commented(frame: bytes) -> bytes:
    """A compressed frame with a name in a comment, and behind its end."""
    name = b"Petra Planted"
    if frame[:2] == b"\xff\xd8":
        place, head = 2, struct.pack(">2BH", 0xFF, 0xFE, 2 + len(name))
    else:  # of JPEG 2000, behind its first segment
        place, head = 4 + int.from_bytes(frame[4:6]), struct.pack(">2B2H", 0xFF, 0x64, 4 + len(name), 1)
    return frame[:place] + head + name + frame[place:].rstrip(b"\0") + name


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("name", ["JPGExtended.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm"])
def test_comments_in_compressed_frames_are_blanked(name: str, pieces: int) -> None:
    encaps: Any = importlib.import_module("pydicom.encaps")
    with quiet():
        dataset = pydicom.dcmread(FILES / name)
        expected = pixels(dataset)
        (frame,) = encaps.generate_frames(dataset.PixelData, number_of_frames=1)
        dataset.PixelData = encaps.encapsulate([commented(frame)], fragments_per_frame=pieces)
        assert dataset.PixelData.count(b"Planted") == 2
        content = deidentified(dataset, KEY)
    assert b"Planted" not in content
    np.testing.assert_array_equal(pixels(read(content)), expected, strict=True)
    assert findings("dcm", content, "Petra Planted") == []
    with quiet():
        dataset.PixelData = encaps.encapsulate([commented(frame)[:12]])
        with pytest.raises(ValueError, match=r"cut short, or damaged"):
            deidentified(dataset, KEY)


def test_bytes_behind_plain_pixels_are_dropped() -> None:
    dataset = pydicom.dcmread(FILES / "CT_small.dcm")
    expected = pixels(dataset)
    dataset.PixelData += b"Petra Planted!"
    content = deidentified(dataset, KEY)
    assert b"Planted" not in content
    np.testing.assert_array_equal(pixels(read(content)), expected, strict=True)


def test_text_in_an_element_of_another_type_is_dropped() -> None:
    """KVP called a text, and a slope that is none; no warning quotes them."""
    raw = (FILES / "CT_small.dcm").read_bytes()
    kvp, slope = b"\x18\x00\x60\x00DS\x04\x00120 ", b"\x28\x00\x53\x10DS\x02\x001 "
    assert kvp in raw
    assert slope in raw
    raw = raw.replace(kvp, kvp.replace(b"DS", b"LO").replace(b"120", b"Max")).replace(slope, slope[:-2] + b"MX")
    with quiet():
        new = read(deidentified(read(raw), KEY))
    assert "KVP" not in new
    assert "RescaleSlope" not in new
    assert new.RescaleIntercept == -1024


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(FILES / "CT_small.dcm")
    dataset.add_new(0x60000010, "US", 2)
    with pytest.raises(ValueError, match="an overlay in the unused bits"):
        deidentified(dataset, KEY)
    dataset = pydicom.dcmread(FILES / "CT_small.dcm")
    dataset.SOPClassUID = "1.3.12.2.1107.5.9.1"
    with pytest.raises(ValueError, match="a private class"):
        deidentified(dataset, KEY)
    (tmp_path / "x.dcm").write_bytes(b"not DICOM")
    with pytest.raises(pydicom.errors.InvalidDicomError):
        kept(tmp_path / "x.dcm", KEY)


def test_uids_depend_on_the_secret_only() -> None:
    one = uid("1.2.3", uid_key(b"a secret of sixteen"))
    assert one == uid("1.2.3", uid_key(b"a secret of sixteen"))
    assert pydicom.uid.UID(one).is_valid
    assert len({one, uid("1.2.3", uid_key(b"")), uid("1.2.4", uid_key(b""))}) == 3


def test_waveforms_are_kept() -> None:
    raw, new = pydicom.dcmread(FILES / "waveform_ecg.dcm"), read(kept(FILES / "waveform_ecg.dcm", KEY).content)
    for group in range(len(raw.WaveformSequence)):
        np.testing.assert_array_equal(new.waveform_array(group), raw.waveform_array(group))
    channels = [c.ChannelSourceSequence[0].CodeMeaning for c in new.WaveformSequence[0].ChannelDefinitionSequence]
    assert channels[0] == "Lead I (Einthoven)"


SIGNS: list[tuple[dict[str, Any], str | None]] = [
    ({"BurnedInAnnotation": "YES", "Modality": "CT"}, "the header says so"),
    ({"BurnedInAnnotation": "NO", "Modality": "US"}, None),
    ({"Modality": "US"}, "ultrasound"),
    ({"Modality": "OT", "ImageType": ["DERIVED", "SECONDARY"]}, "made of a screen"),
    ({"Modality": "CR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.4"}, "a secondary capture"),
    ({"Modality": "MG", "ConversionType": "WSD"}, "a secondary capture"),
    ({"Modality": "MR", "ImageType": ["DERIVED", "SECONDARY", "MPR"]}, None),
    ({"Modality": "CR", "ImageType": "ORIGINAL"}, None),
    ({"Modality": "CR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1"}, None),
    ({}, None),
]  # fmt: skip


@pytest.mark.parametrize(("header", "says"), SIGNS, ids=[str(sign[0]) for sign in SIGNS])
def test_signs_of_text_in_the_pixels(header: dict[str, Any], says: str | None) -> None:
    dataset = Dataset()
    for name, value in header.items():
        setattr(dataset, name, value)
    found = dicom_burned_in.sign(dataset)
    assert found is None if says is None else says in (found or "")
    dicom_burned_in.check(dataset, "allow")
    if says:
        with pytest.raises(SampleError, match="burned_in = 'allow'") as caught:
            dicom_burned_in.check(dataset, "refuse")
        assert caught.value.reason == "burned-in text"


@pytest.mark.parametrize(
    ("name", "shows"),
    [("examples_palette.dcm", True), ("examples_rgb_color.dcm", True), ("examples_ybr_color.dcm", True),
     ("examples_overlay.dcm", False), ("CT_small.dcm", False), ("MR_small.dcm", False), ("693_J2KI.dcm", False)],
)  # fmt: skip
def test_signs_hold_on_images_that_were_looked_at(name: str, shows: bool) -> None:
    """The first three show settings, a date, and a hospital's name; the others no letter."""
    assert (dicom_burned_in.sign(pydicom.dcmread(FILES / name, stop_before_pixels=True)) is not None) == shows


@pytest.mark.parametrize("kind", [pyedflib.FILETYPE_EDF, pyedflib.FILETYPE_EDFPLUS, pyedflib.FILETYPE_BDFPLUS])
def test_edf_files_are_blanked(tmp_path: Path, kind: int) -> None:
    content = bytearray(contents.edf(contents.numbers(2, 300), kind=kind))
    content[8:88] = b"PLANTED F 02-MAY-1951 Petra".ljust(80)
    content[88:168] = b"Startdate 02-MAR-2002 PLANTED Otto X".ljust(80)
    content[168:184] = b"02.03.0204.05.06"
    content[197:236] = b"PLANTED".ljust(39)
    number = int(content[252:256])
    second = 256 + 136 * number + 80  # the second signal's filter
    fields = {256 + before * number: b"PLANTED" for before in (16, 136, 224)} | {second: b"HP:0.1Hz LP:75Hz"}
    for at, words in fields.items():
        content[at : at + len(words)] = words
    content += b"PLANTED"
    path = tmp_path / "PLANTED.edf"
    path.write_bytes(content)
    found = edf_blank.kept(path, KEY)
    assert found.format == ("bdf" if kind == pyedflib.FILETYPE_BDFPLUS else "edf")
    assert b"PLANTED" not in found.content
    assert b"MAY" not in found.content
    assert b"HP:0.1Hz LP:75Hz" in found.content
    np.testing.assert_array_equal(contents.edf_values(found.content), contents.edf_values(bytes(content)))
    decode: Any = DECODERS[found.format].decode
    np.testing.assert_array_equal(decode(memoryview(found.content)), decode(memoryview(bytes(content))))
    assert findings(found.format, found.content, "PLANTED") == []
    path.write_bytes(b"1 no EDF".ljust(300))
    with pytest.raises(ValueError, match="not an EDF or BDF file"):
        edf_blank.kept(path, KEY)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("packed", [False, True])
def test_nifti_files_are_blanked(tmp_path: Path, kind: Any, packed: bool) -> None:
    voxels = contents.numbers(3, 4, 5)
    image = kind(voxels, np.diag([2.0, 2, 3, 1]))
    image.header["descrip"], image.header["aux_file"] = "planted scan", "planted.txt"
    image.header["intent_name"] = "planted"
    image.header.extensions.append(KINDS.nifti1.Nifti1Extension("comment", b"planted note"))
    content = bytearray(image.to_bytes()) + b"planted behind the voxels"
    nifti_2 = kind is nibabel.Nifti2Image
    for place in (525,) if nifti_2 else (30, 140):  # fields that nobody uses any more
        content[place : place + 7] = b"planted"
    path = tmp_path / f"planted.nii{'.gz' if packed else ''}"
    if packed:
        with gzip.GzipFile(path, "wb", mtime=1.0) as file:
            file.write(content)
    else:
        path.write_bytes(content)
    found = nifti_blank.kept(path, KEY)
    plain = gzip.decompress(found.content) if packed else found.content
    assert found.format == ("nii.gz" if packed else "nii")
    assert b"planted" not in found.content + plain
    assert len(plain) == len(content) - len(b"planted behind the voxels")
    again = kind.from_bytes(plain)
    np.testing.assert_array_equal(np.asarray(again.dataobj), voxels)
    np.testing.assert_array_equal(again.affine, image.affine)
    assert not again.header.extensions
    assert nifti_blank.kept(path, KEY).content == found.content
    path.write_bytes(path.read_bytes()[:-30] if packed else content[:200])
    with pytest.raises(ValueError, match=r"cut short|not a single NIfTI"):
        nifti_blank.kept(path, KEY)


def test_a_nifti_whose_voxels_lie_elsewhere_is_refused(tmp_path: Path) -> None:
    content = bytearray(contents.nifti(contents.numbers(2, 2, 2)))
    struct.pack_into("<f", content, 108, 1e9)
    (tmp_path / "x.nii").write_bytes(content)
    with pytest.raises(ValueError, match="do not lie in it"):
        nifti_blank.kept(tmp_path / "x.nii", KEY)


def originals(store: Store, manifest: Manifest, part: str) -> dict[str, bytes]:
    return {
        sample.key: bytes(found.content)
        for shard in manifest.shards
        for sample in stored_samples(store, manifest, shard, lambda _: None)
        for found in sample.parts
        if found.name == part
    }


RECIPE = described(
    "{stem}/{window:03}",
    """
[source]
files = ["*.edf"]
adapter = "edf"
options = { seconds = 1.0 }
[parts.eeg]
kind = "signal"
adapter = "edf"
options = { seconds = 1.0 }
[subject]
id = "{stem}"
""",
)


def test_one_file_of_many_samples_is_kept_once(tmp_path: Path) -> None:
    root, store = tmp_path / "raw", open_store(tmp_path / "store")
    root.mkdir()
    for number in range(2):
        (root / f"r{number}.edf").write_bytes(contents.edf(contents.numbers(2, 500, seed=number)))
    recipe: Recipe = loads(RECIPE, "kept")
    plain = pack(recipe, root, store).manifest
    manifest = pack(with_originals(recipe), root, store).manifest
    assert manifest.version != plain.version
    assert [(p.name, p.kind, p.format, p.samples) for p in manifest.parts] == [
        ("eeg", "signal", "npy", 10), ("eeg_raw", "signal", "edf", 2),
    ]  # fmt: skip
    found = originals(store, manifest, "eeg_raw")
    assert sorted(found) == ["r0/000", "r1/000"]
    for key, content in found.items():
        raw = (root / f"{key[:2]}.edf").read_bytes()
        np.testing.assert_array_equal(contents.edf_values(content), contents.edf_values(raw))
    assert not verify(store, manifest).problems
    assert not lint(store, manifest, Identifiers(())).counts


def test_an_original_is_streamed_whole_or_by_seconds(tmp_path: Path) -> None:
    root, store = tmp_path / "raw", open_store(tmp_path / "store")
    root.mkdir()
    (root / "r0.edf").write_bytes(contents.edf(contents.numbers(2, 500)))
    pack(with_originals(loads(RECIPE, "kept")), root, store)
    view = ropeway.connect(store.url).query(parts=["eeg_raw"])
    expected = contents.edf_values((root / "r0.edf").read_bytes())
    [whole] = ropeway.StreamingLoader(view, 1, parts=["eeg_raw"])
    np.testing.assert_allclose(whole["eeg_raw"][0], expected, rtol=1e-6)
    [some] = ropeway.StreamingLoader(view, 1, parts={"eeg_raw": ropeway.Window(1.5, 4)})
    np.testing.assert_array_equal(some["eeg_raw"][0], whole["eeg_raw"][0][:, 150:400])


def test_one_file_of_two_parts_is_kept_once() -> None:
    other = '[parts.eog]\nkind = "signal"\nadapter = "edf"\noptions = { seconds = 1.0, channels = ["S1"] }\n'
    assert list(with_originals(loads(RECIPE + other, "kept")).parts) == ["eeg", "eeg_raw", "eog"]


def test_real_dicom_files_are_kept_and_streamed_without_identity(tmp_path: Path) -> None:
    recipe, store = with_originals(load("dicom-images"), b"a secret of sixteen bytes"), open_store(tmp_path)
    manifest = pack(recipe, real_root(), store).manifest
    rows = StoreCatalog(store).query(parts=["image_raw"])
    assert rows.samples == manifest.samples
    assert not verify(store, manifest).problems
    counts = lint(store, manifest, Identifiers(["CompressedSamples", "Rubo DEMO"])).counts
    assert not counts
    decode: Any = DECODERS["dcm"].decode
    for shard in manifest.shards:
        for sample in stored_samples(store, manifest, shard, lambda _: None):
            parts = {part.name: part for part in sample.parts}
            stored = np.load(io.BytesIO(parts["image"].content))
            np.testing.assert_array_equal(decode(parts["image_raw"].content), stored)


def test_an_original_that_goes_with_a_sample_is_told(tmp_path: Path) -> None:
    root, store = tmp_path / "raw", open_store(tmp_path / "store")
    root.mkdir()
    for number in range(2):
        (root / f"r{number}.edf").write_bytes(contents.edf(contents.numbers(2, 200, seed=number)))
        for window in range(2):
            (root / f"r{number}-{window}.png").write_bytes(png(window))
    (root / "r0-0.png").write_bytes(b"broken")
    photo = '[parts.photo]\nkind = "image"\nadapter = "image"\nfile = "{stem}-{window}.png"\n'
    recipe = with_originals(loads(RECIPE + photo, "kept"))
    manifest = pack(recipe, root, store, Settings(on_error="skip")).manifest
    assert manifest.provenance.skipped == {"unreadable file, and with it the original of its file": 1}
    assert sorted(originals(store, manifest, "eeg")) == ["r0/001", "r1/000", "r1/001"]
    assert sorted(originals(store, manifest, "eeg_raw")) == ["r1/000"]


def test_a_recipe_without_originals_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stores its files as they are"):
        with_originals(tiny_recipe())
    root = write_raw(tmp_path / "raw")
    ask = ["pack", "gbsg2", "--keep-raw", "--root", str(root), "--store", str(tmp_path / "store")]
    assert isinstance(CliRunner().invoke(make_app(), ask).exception, UsageError)
    text = RECIPE + '[parts.eeg_raw]\nkind = "signal"\nadapter = "edf"\noptions = { seconds = 1.0 }\n'
    with pytest.raises(UsageError, match="has a part eeg_raw of its own"):
        with_originals(loads(text, "kept"))


def test_the_command_keeps_originals(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    root.mkdir()
    (root / "a.edf").write_bytes(contents.edf(contents.numbers(2, 300)))
    (tmp_path / "kept.toml").write_text(RECIPE)
    ask = ["pack", str(tmp_path / "kept.toml"), "--root", str(root), "--store", str(tmp_path / "store")]
    done = CliRunner().invoke(make_app(), [*ask, "--keep-raw", "--workers", "1"])
    assert done.exit_code == 0, done.output
    manifest = StoreCatalog(open_store(tmp_path / "store")).manifest("kept")
    assert [part.name for part in manifest.parts] == ["eeg", "eeg_raw"]
