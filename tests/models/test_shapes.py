"""The architectures of the big checkpoints with random weights: exported, run by ONNX Runtime, compared with torch.

Tiny ones always; the true base shapes, hundreds of megabytes each, with `make test-shapes`.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from models.export import to_onnx
from models.export.graph import TOLERANCE
from models.train.hub_entry import contract_entry
from models.train.shapes import SHAPES, random_encoder
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec
from sidecar.inference.row import require
from sidecar.types import EMOTIONS

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporter's own libraries


def exported(name: str, folder: Path, *, tiny: bool) -> tuple[OrtModel, ModelSpec, torch.nn.Module, dict]:
    module, sample = random_encoder(name, tiny=tiny)
    keys = {"recipe": "none", "licence": "none", "commercial": True, "trained_on": ("nothing",)}
    labels = {label: label for label in EMOTIONS}
    entry = contract_entry(SHAPES[name].modality, module, sample, EMOTIONS, name=name, map=labels, **keys)
    # A tiny graph is not worth the exporter's optimiser, which takes longer than all the rest.
    onnx.save(to_onnx(module, sample, entry, optimise=not tiny), folder / "model.onnx")
    return OrtModel(entry, folder / "model.onnx"), entry, module, sample


def assert_alike(model: OrtModel, module: torch.nn.Module, batch: dict) -> None:
    said = model.run({name: value.numpy() for name, value in batch.items()})
    with torch.no_grad():
        expected = module(*batch.values())._asdict()
    for name, value in expected.items():
        np.testing.assert_allclose(said[name], value.numpy(), atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("name", SHAPES)
def test_a_tiny_random_weights_graph_says_what_torch_says_at_any_batch(name: str, tmp_path: Path) -> None:
    model, entry, module, sample = exported(name, tmp_path, tiny=True)
    require(entry, entry.modality, set(sample))
    for rows in ([0], [1, 0, 1]):
        batch = {port: value[rows] for port, value in sample.items()}
        if "input_ids" in batch and len(rows) == 1:
            batch = {port: value[:, :7].contiguous() for port, value in batch.items()}
        assert_alike(model, module, batch)
    outputs = model.run({port: value.numpy() for port, value in sample.items()})
    assert np.ptp(outputs["embedding"], axis=0).max() > 1e-6, "the embedding follows the input"


@pytest.mark.shapes
@pytest.mark.parametrize("name", SHAPES)
def test_a_true_base_shape_of_random_weights_says_what_torch_says(name: str, tmp_path: Path) -> None:
    model, _, module, sample = exported(name, tmp_path, tiny=False)
    millions = sum(parameter.numel() for parameter in module.parameters()) / 1e6
    assert millions == pytest.approx(MILLIONS[name], rel=0.02), "the published size"
    assert_alike(model, module, {port: value[[1, 0, 1]] for port, value in sample.items()})


MILLIONS = {
    "vit-base-16": 85.8,
    "wav2vec2-base": 94.6,
    "hubert-base": 94.6,
    "wavlm-base": 94.6,
    "distilroberta-base": 82.1,
    "modernbert-base": 149.0,
}
