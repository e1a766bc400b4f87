"""Draws docs/images/model_space.png: the curve of model space beside sRGB's and a pure logarithm.

Run: python benchmarks/model_space_plot.py docs/images/model_space.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np

from bodydouble.plates.modelspace import ModelSpace, to_model

matplotlib.use("Agg")
from matplotlib import pyplot

LOG_FLOOR = 0.0025
"""Where a pure log curve of the same top would have to begin: about eight stops below mid-grey's double."""


def srgb(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, clipped at white."""
    x = np.clip(linear, 0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)


def pure_log(linear: np.ndarray) -> np.ndarray:
    """log2(1 + x / floor), 16 at 1."""
    return np.log2(1 + linear / LOG_FLOOR) / np.log2(1 + 16 / LOG_FLOOR)


def draw(path: Path) -> None:
    """Two panels: the encodings, and how much of the range one stop gets."""
    space = ModelSpace()
    stops = np.linspace(-9, 5, 1401)
    linear = 2.0**stops
    curves = {"model space": to_model(linear, space), "sRGB": srgb(linear), "pure log": pure_log(linear)}
    styles = {"model space": ("#0b6e99", 2.2), "sRGB": ("#c2571a", 1.2), "pure log": ("#777777", 1.2)}
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.6, 3.2), layout="constrained")
    for name, encoded in curves.items():
        colour, width = styles[name]
        left.plot(stops, encoded, color=colour, linewidth=width, label=name)
        right.plot(stops, np.gradient(encoded, stops), color=colour, linewidth=width, label=name)
    left.set_ylabel("encoded")
    right.set_ylabel("encoded units per stop")
    for axes in (left, right):
        for position, label in ((np.log2(space.cut), "cut"), (np.log2(0.18), "18 %"), (0, "white"), (4, "16")):
            axes.axvline(position, color="#cccccc", linewidth=0.8, zorder=0)
            axes.annotate(label, (position, 0.985), xycoords=("data", "axes fraction"), fontsize=7, va="top")
        axes.set_xlabel("stops above diffuse white")
        axes.legend(fontsize=7, loc="center left", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    draw(parser.parse_args().path)
