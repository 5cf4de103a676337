"""Decoders by family of formats; `ropeway.decode` says which format has which.

Each takes a part's content as a memoryview, of which only npy arrays are views, and raises ValueError or OSError for
content that is damaged, cut short or of a sort it does not read: never a part of a value. Only a library that is not
installed is a UsageError. No file is written, no process started, nothing unpickled.
"""
