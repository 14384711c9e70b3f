"""From a trained torch module to a model of the pack: graph, parity, precision, weight file, manifest."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import onnx
from torch import Tensor, nn

from models.export.entries import PACK, write_entry
from models.export.graph import TOLERANCE, ParityError, parity, to_onnx
from models.export.precision import Feed, Precision, convert
from sidecar.inference.manifest import ModelSpec


def publish(
    module: nn.Module,
    sample: Mapping[str, Tensor],
    entry: ModelSpec,
    *,
    precision: Precision = "fp32",
    calibration: Iterable[Feed] = (),
    exclude: Iterable[str] = (),
    pack: Path = PACK,
) -> ModelSpec:
    """Export `module` and put it in the pack; returns the entry with the digest of the file.

    `sample` maps the inputs in the order of the module's arguments; dimensions are free where the entry names them.
    `precision`, `calibration` and `exclude` are those of `convert`. Raises `ParityError`.
    """
    model, difference = faithful(module, sample, entry)
    entry = store(convert(model, precision, calibration, exclude), entry, pack)
    size_mb = (pack / entry.file).stat().st_size / 1e6
    print(f"{entry.name}: {size_mb:.2f} MB {precision}, FP32 parity {difference:.1e}, {entry.sha256}")
    return entry


def faithful(module: nn.Module, sample: Mapping[str, Tensor], entry: ModelSpec) -> tuple[onnx.ModelProto, float]:
    """The module as an FP32 graph, and the largest difference between the two. Raises `ParityError`."""
    model = to_onnx(module, sample, entry)
    difference = parity(model, module, sample)
    if not difference <= TOLERANCE:  # also where it is no number
        raise ParityError(f"{entry.name}: outputs differ by {difference:.2e}, more than {TOLERANCE}")
    return model, difference


def store(model: onnx.ModelProto, entry: ModelSpec, pack: Path) -> ModelSpec:
    """Write the graph and its entry; returns the entry with the digest of the file."""
    data = model.SerializeToString(deterministic=True)
    (pack / entry.file).parent.mkdir(parents=True, exist_ok=True)
    (pack / entry.file).write_bytes(data)
    entry = msgspec.structs.replace(entry, sha256=hashlib.sha256(data).hexdigest())
    write_entry(entry, pack)
    return entry
