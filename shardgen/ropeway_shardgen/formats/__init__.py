"""What adapters know of raw formats: headers and what may leave them, geometry, files in files, MIMIC-IV's tables."""
