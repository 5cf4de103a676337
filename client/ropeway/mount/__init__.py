"""`ropeway mount`: a store, a dataset or a view as a read-only tree of files, over FUSE 3.

tree.py says which paths there are, stretches.py how bytes are read, filesystem.py what FUSE asks, serving.py how a
mount begins and ends.
"""
