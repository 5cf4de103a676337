"""`python -m ropeway.cli`: the same as `ropeway`."""

from ropeway.cli import main

main()
