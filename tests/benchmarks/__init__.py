"""`make bench`: Ropeway, its rivals and the machine's own limits on the same samples, in one run.

`workloads` makes the samples, `systems` writes and streams them in each system's own format, `ceilings` says what the
machine could do, `run_one` is one measurement in a process of its own, `runner` interleaves them, `report` and `chart`
tell, `targets` judges.
"""
