"""What adapters know of raw formats: headers and what may leave them, geometry, files inside files, MIMIC-IV's tables."""
