"""What an export leaves behind, so that precisions can be made anew without the module: `.cache/export/NAME/`.

`fp32.onnx` the graph; `sample.npz` the inputs of the parity check and what torch made of them; `calibration.npz` and
`validation.npz` the examples; `options.json` what stays FP32 and what may be shipped. They hold parts of the corpora,
so they stay on this machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from models.export.examples import Examples, Validation
from models.export.graph import run
from models.export.precision import PRECISIONS, Precision

KEPT: Final = Path(__file__).parents[2] / ".cache" / "export"
_EXPECTED: Final = "torch."
_BATCH: Final = ":batch"
_LABELS: Final = ":labels"


@dataclass(frozen=True, slots=True)
class Kept:
    """One exported model before any loss of precision."""

    graph: onnx.ModelProto
    sample: Mapping[str, NDArray[Any]]
    expected: Mapping[str, NDArray[Any]]
    """Torch's outputs of `sample`."""
    calibration: Examples
    validation: Validation
    whole: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = PRECISIONS
    """Of which the best may be shipped."""

    def difference(self) -> float:
        """Largest difference between torch and the graph on `sample`, over all outputs."""
        got = run(self.graph, self.sample)
        return max(float(np.abs(got[name] - value).max()) for name, value in self.expected.items())


def keep(folder: Path, kept: Kept) -> None:
    """Write it; an older one is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(kept.graph, folder / "fp32.onnx")
    expected = {_EXPECTED + name: value for name, value in kept.expected.items()}
    _save(folder / "sample.npz", {**kept.sample, **expected})
    (folder / "options.json").write_bytes(msgspec.json.encode({"whole": kept.whole, "precisions": kept.precisions}))
    _save(folder / "calibration.npz", _packed(kept.calibration))
    _save(folder / "validation.npz", {**_packed(kept.validation.examples), _LABELS: kept.validation.labels})


def restore(name: str, root: Path = KEPT, recipe: str = "its recipe") -> Kept:
    """Read it. Raises FileNotFoundError naming the command that leaves it."""
    folder = root / name
    if not (folder / "validation.npz").exists():
        raise FileNotFoundError(f"{folder}: nothing is kept of an export of {name}; `{recipe}` leaves it there")
    sample = _load(folder / "sample.npz")
    validation = _load(folder / "validation.npz")
    labels = validation.pop(_LABELS)
    return Kept(
        onnx.load(folder / "fp32.onnx"),
        {key: value for key, value in sample.items() if not key.startswith(_EXPECTED)},
        {key.removeprefix(_EXPECTED): value for key, value in sample.items() if key.startswith(_EXPECTED)},
        _unpacked(_load(folder / "calibration.npz")),
        Validation(_unpacked(validation), labels),
        **msgspec.json.decode((folder / "options.json").read_bytes(), type=dict[str, tuple[Any, ...]]),
    )


def _packed(examples: Examples) -> dict[str, NDArray[Any]]:
    return {**examples.inputs, _BATCH: np.array(examples.batch)}


def _unpacked(arrays: dict[str, NDArray[Any]]) -> Examples:
    batch = int(arrays.pop(_BATCH))
    return Examples(arrays, batch)


def _save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    np.savez(path, **dict(arrays))  # type: ignore[arg-type]  # numpy's stub takes the names for its own options


def _load(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}
