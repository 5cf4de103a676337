"""The results as one picture: a panel for each workload and source, a bar for each system."""

import math
from pathlib import Path
from typing import Any

from benchmarks.report import compared
from benchmarks.results import Measured, Results
from benchmarks.systems import ENTRIES
from benchmarks.targets import CEILING_TITLES, title

_COLUMNS = 2
_OURS, _THEIRS, _POOR, _LIMIT = "#1b7f5c", "#7a8794", "#c3cad1", "#b3541e"
_MIXED = 0.95
"""Bars of systems that mix less than this are pale: their speed is bought by not shuffling."""


def draw(results: Results, path: Path) -> None:
    """Write the chart as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = compared(results)
    rows = math.ceil(len(panels) / _COLUMNS)
    figure, axes = plt.subplots(rows, _COLUMNS, figsize=(15, 3.3 * rows + 0.7), squeeze=False)
    for axis, (where, measured) in zip(axes.flat, panels.items(), strict=False):
        _panel(axis, where, measured, results)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    figure.suptitle(
        "samples/s, each system's best number of workers, with its shuffle quality (1 = uniform; pale: below 0.95)",
        fontsize=12,
    )
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.25 / rows / 3))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(axis: Any, where: tuple[str, str], measured: list[Measured], results: Results) -> None:
    there = sorted((one for one in measured if not one.missing), key=lambda one: one.samples_per_second)
    rates = [one.samples_per_second for one in there]
    limits = [one for one in results.ceilings if (one.workload, one.source) == where]
    bars = axis.barh([ENTRIES[one.system].title for one in there], rates, color=[_colour(one) for one in there])
    longest = max(rates, default=1.0)
    shown = [limit for limit in limits if limit.samples_per_second <= 3 * longest]
    right = max([longest, *(limit.samples_per_second for limit in shown)])
    for bar, one in zip(bars, there, strict=True):
        said = f" {one.samples_per_second:,.0f}/s · shuffle {one.shuffle_quality:.2f}"
        axis.text(bar.get_width(), bar.get_y() + bar.get_height() / 2, said, va="center", fontsize=8.5, bbox=_WHITE)
    for limit in shown:
        label = f"{CEILING_TITLES[limit.name]}: {limit.samples_per_second:,.0f}/s"
        axis.axvline(
            limit.samples_per_second, color=_LIMIT, linestyle=DASHES[limit.name], linewidth=1.2, zorder=0, label=label
        )
    if shown:
        axis.legend(loc="lower right", fontsize=7.5, facecolor="white", edgecolor="none", framealpha=0.9)
    absent = [ENTRIES[one.system].title for one in measured if one.missing and one.system != "litdata_arrays"]
    axis.set_title(title(*where) + (f"\nn/a: {', '.join(absent)}" if absent else ""), fontsize=10, loc="left")
    axis.set_xlim(0, right * 1.35)
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.tick_params(labelsize=8.5)


_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
DASHES = {
    "memcpy": ":", "readv": "--", "readv_batches": "-.", "gather": (0, (1, 1)), "decode": "--", "gets": "--",
    "gets_kept": "-.", "gets_given": (0, (1, 1)), "gets_whole": ":",
}  # fmt: skip
"""How each ceiling is drawn."""


def _colour(one: Measured) -> str:
    if one.system == "ropeway":
        return _OURS
    return _THEIRS if one.shuffle_quality >= _MIXED else _POOR
