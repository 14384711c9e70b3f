"""Draws a results file: confusion, reliability, coverage and robustness, one PNG for each head and flaw."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the pictures of one model into `folder`; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, head in result["heads"].items():
        figure = Figure(figsize=(15, 4.5), layout="constrained")
        confusion, reliability, coverage = figure.subplots(1, 3)
        _confusion(confusion, head["classes"])
        _reliability(reliability, head["reliability"])
        _coverage(coverage, head["coverage"])
        figure.suptitle(f"{result['model']['name']} {result['model']['version']}: {name}")
        made.append(_save(figure, folder / f"{name}.png"))
    if result["robustness"]:
        made.append(_save(_robustness(result["robustness"]), folder / "robustness.png"))
    return made


def _confusion(axes: Axes, classes: Mapping[str, Any]) -> None:
    labels = list(dict.fromkeys([*classes, *(said for each in classes.values() for said in each["said_instead"])]))
    shares = np.zeros((len(classes), len(labels)))
    for row, (label, found) in enumerate(classes.items()):
        shares[row, labels.index(label)] = found["recall"]
        for said, count in found["said_instead"].items():
            shares[row, labels.index(said)] = count / found["answers"]
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for row, column in np.argwhere(shares >= 0.005):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{shares[row, column]:.0%}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(labels)), labels, rotation=60)
    axes.set_yticks(range(len(classes)), list(classes))
    axes.set(title="confusion, share of each row", xlabel="said", ylabel="true")


def _reliability(axes: Axes, bins: list[dict[str, float]]) -> None:
    confidence, accuracy, answers = (
        np.array([each[key] for each in bins]) for key in ("confidence", "accuracy", "answers")
    )
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.scatter(confidence, accuracy, s=8 + 300 * answers / answers.sum())
    axes.set(title="reliability", xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))


def _coverage(axes: Axes, coverage: Mapping[str, float]) -> None:
    axes.plot([float(share.rstrip("%")) for share in coverage], list(coverage.values()), marker="o")
    axes.invert_xaxis()
    axes.set(title="accuracy when abstaining", xlabel="answers given, %", ylabel="accuracy")


def _robustness(curves: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    figure = Figure(figsize=(4 * len(curves), 3.5), layout="constrained")
    for axes, (flaw, degrees) in zip(
        np.ravel(figure.subplots(1, len(curves), sharey=True)), curves.items(), strict=True
    ):
        for name in next(iter(degrees.values())):
            axes.plot(list(degrees), [found[name] for found in degrees.values()], marker="o", label=name)
        axes.tick_params(axis="x", rotation=45)
        axes.set_title(flaw)
        axes.legend(fontsize=7)
    return figure


def _save(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110)
    return path
