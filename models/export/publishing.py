"""From a trained torch module to a model of the pack: graph, parity, precision, weight file, manifest."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import msgspec
import onnx
import torch
from torch import Tensor, nn

from models.evaluate import results
from models.export.comparison import PLAIN, Candidate, choose, compare, require_parity
from models.export.entries import PACK, write_entry
from models.export.examples import Examples, Validation
from models.export.graph import TOLERANCE, ParityError, parity, to_onnx
from models.export.kept import KEPT, Kept, keep
from models.export.precision import PORTABLE, PRECISIONS, Feed, Precision, convert
from sidecar.inference.manifest import ModelSpec

REPORT: Final = Path("results") / "export.json"
"""In the pack: what each model was measured to lose, by name."""


def publish(
    module: nn.Module,
    sample: Mapping[str, Tensor],
    entry: ModelSpec,
    *,
    precision: Precision = "fp32",
    calibration: Iterable[Feed] = (),
    whole: Iterable[str] = (),
    pack: Path = PACK,
) -> ModelSpec:
    """Export `module` and put it in the pack; returns the entry with the digest of the file.

    `sample` maps the inputs in the order of the module's arguments; dimensions are free where the entry names them.
    `precision`, `calibration` and `whole` are those of `convert`. Raises `ParityError`.
    """
    model, difference = faithful(module, sample, entry)
    entry = store(convert(model, precision, calibration, whole), entry, pack)
    size_mb = (pack / entry.file).stat().st_size / 1e6
    print(f"{entry.name}: {size_mb:.2f} MB {precision}, FP32 parity {difference:.1e}, {entry.sha256}")
    return entry


def publish_best(
    module: nn.Module,
    sample: Mapping[str, Tensor],
    entry: ModelSpec,
    *,
    calibration: Examples,
    validation: Validation,
    precisions: Sequence[Precision] = PRECISIONS,
    whole: Sequence[str] = (),
    pack: Path = PACK,
    kept: Path = KEPT,
) -> ModelSpec:
    """Export `module`, compare precisions and providers, and put the best of `precisions` in the pack.

    Constants named in `whole` stay FP32 in all of them. What the comparison needs stays in `kept`/NAME, so that
    `python -m models.export NAME` can repeat it. Raises `ParityError`.
    """
    model, _ = faithful(module, sample, entry)
    with torch.no_grad():
        told = module.eval()(*sample.values())
    expected = {port.name: value.numpy() for port, value in zip(entry.output, told, strict=True)}
    inputs = {name: value.numpy() for name, value in sample.items()}
    left = Kept(model, inputs, expected, calibration, validation, tuple(whole), tuple(precisions))
    keep(kept / entry.name, left)
    return ship_best(left, entry, left.precisions, pack)


def ship_best(kept: Kept, entry: ModelSpec, precisions: Sequence[Precision], pack: Path) -> ModelSpec:
    """Put the best of `precisions` in the pack and say in its report how all compare. Raises `ParityError`."""
    candidates, graphs = compare(kept, entry)
    best = choose(candidates, precisions)
    difference = kept.difference()
    require_parity(entry.name, difference, best, candidates)
    # Whole numbers only where they were found fastest; what a GPU runs as well is left to whatever there is.
    provider = "cpu" if best.provider == PLAIN and best.precision not in PORTABLE else "auto"
    entry = store(graphs[best.precision], msgspec.structs.replace(entry, provider=provider), pack)
    report(entry, difference, best, candidates, pack)
    show(entry.name, difference, best, candidates)
    return entry


def report(
    entry: ModelSpec, difference: float, shipped: Candidate, candidates: Sequence[Candidate], pack: Path
) -> None:
    """Write the model's part of the report."""
    path = pack / REPORT
    known: dict[str, Any] = results.read(path) if path.exists() else {}
    known[entry.name] = {
        "model": results.identity(entry),
        "machine": results.machine(shipped.provider),
        "fp32_difference": f"{difference:.1e}",
        "shipped": asdict(shipped),
        "compared": [asdict(candidate) for candidate in candidates],
    }
    results.write(path, known)


def show(name: str, difference: float, shipped: Candidate, candidates: Sequence[Candidate]) -> None:
    """Print what was measured as a table."""
    print(f"{name}: FP32 differs from torch by {difference:.1e}")
    for each in candidates:
        mark = "shipped" if each == shipped else ""
        print(
            f"  {each.precision:12} {each.provider:25} {each.accuracy:.4f} {each.ms:8.3f} ms {each.mb:7.2f} MB {mark}"
        )


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
