"""Which DICOM elements a kept original file may hold: what its pixels and waveforms need, and coarse demography.

An allow-list, where the Basic Application Level Confidentiality Profile (DICOM PS3.15, Annex E) lists what to remove:
what nobody thought of stays out. Sequences are entered only if they are named here, and what is in them must be too.
"""

REMAPPED = frozenset(
    ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "MediaStorageSOPInstanceUID")
)
"""UIDs of objects: replaced by a keyed hash, the same one wherever they are met."""

CLASSES = frozenset(("SOPClassUID",))
"""UIDs of the standard itself."""

EMPTIED = (
    "AccessionNumber", "PatientBirthDate", "PatientID", "PatientName", "ReferringPhysicianName", "StudyDate", "StudyID",
    "StudyTime",
)  # fmt: skip
"""Type 2 elements: an image must have them, and they may be empty."""

CODES = frozenset((
    "BodyPartExamined", "BurnedInAnnotation", "CorrectedImage", "CountsSource", "DecayCorrection", "ImageLaterality",
    "ImageType", "Laterality", "LossyImageCompression", "LossyImageCompressionMethod", "ModalityLUTType",
    "MRAcquisitionType", "Modality", "PatientOrientation", "PatientPosition", "PatientSex", "PhotometricInterpretation",
    "PresentationIntentType", "PresentationLUTShape", "RescaleType", "ScanOptions", "ScanningSequence",
    "SequenceVariant", "Units", "VOILUTFunction", "ViewPosition", "WaveformOriginality", "WaveformSampleInterpretation",
    "CodeValue", "CodingSchemeDesignator",
))  # fmt: skip
"""Short codes: capital letters, digits, and few signs."""

TEXTS = frozenset(["CodeMeaning", "ConvolutionKernel", "Manufacturer", "ManufacturerModelName"])
"""Free text about machines and codes. Dropped where it holds a word of the object's own identifying elements."""

NUMBERS = frozenset((
    "AcquisitionNumber", "BitsAllocated", "BitsStored", "BluePaletteColorLookupTableDescriptor", "ChannelBaseline",
    "ChannelSensitivity", "ChannelSensitivityCorrectionFactor", "ChannelSampleSkew", "ChannelTimeSkew", "CineRate",
    "Columns", "DetectorElementSpacing", "DimensionIndexValues", "EchoNumbers", "EchoTime", "Exposure", "ExposureTime",
    "FilterHighFrequency", "FilterLowFrequency", "FlipAngle", "FrameIncrementPointer", "FrameTime", "FrameTimeVector",
    "GantryDetectorTilt", "GreenPaletteColorLookupTableDescriptor", "HighBit", "ImageOrientationPatient",
    "ImagePositionPatient", "ImagerPixelSpacing", "InStackPositionNumber", "InstanceNumber", "InversionTime", "KVP",
    "LargestImagePixelValue", "LossyImageCompressionRatio", "LUTDescriptor", "MagneticFieldStrength",
    "MultiplexGroupTimeOffset", "NominalScannedPixelSpacing", "NotchFilterFrequency", "NumberOfFrames",
    "NumberOfWaveformChannels", "NumberOfWaveformSamples", "PhysicalDeltaX", "PhysicalDeltaY",
    "PhysicalUnitsXDirection", "PhysicalUnitsYDirection", "PixelAspectRatio",
    "PixelPaddingRangeLimit", "PixelPaddingValue", "PixelRepresentation", "PixelSpacing", "PlanarConfiguration",
    "RecommendedDisplayFrameRate", "RedPaletteColorLookupTableDescriptor", "RegionDataType", "RegionFlags",
    "RegionLocationMaxX1", "RegionLocationMaxY1", "RegionLocationMinX0", "RegionLocationMinY0", "RegionSpatialFormat",
    "RepetitionTime", "RescaleIntercept", "RescaleSlope", "Rows", "SamplesPerPixel", "SamplingFrequency",
    "SeriesNumber", "SliceLocation", "SliceThickness", "SmallestImagePixelValue", "SpacingBetweenSlices",
    "TemporalPositionIdentifier", "WaveformBitsAllocated", "WaveformBitsStored", "WindowCenter", "WindowWidth",
    "XRayTubeCurrent",
))  # fmt: skip

AGES = frozenset(["PatientAge"])

PIXELS = frozenset(("DoubleFloatPixelData", "FloatPixelData", "PixelData"))
CONTENTS = frozenset((
    "BluePaletteColorLookupTableData", "GreenPaletteColorLookupTableData", "LUTData", "RedPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData", "WaveformData", "WaveformPaddingValue",
))  # fmt: skip
"""Bytes that are samples, or tables of values of pixels."""

SEQUENCES = frozenset((
    "ChannelDefinitionSequence", "ChannelSensitivityUnitsSequence", "ChannelSourceSequence", "FrameContentSequence",
    "FrameVOILUTSequence", "ModalityLUTSequence", "PerFrameFunctionalGroupsSequence", "PixelMeasuresSequence",
    "PixelValueTransformationSequence", "PlaneOrientationSequence", "PlanePositionSequence",
    "SequenceOfUltrasoundRegions", "SharedFunctionalGroupsSequence", "VOILUTSequence", "WaveformSequence",
))  # fmt: skip
