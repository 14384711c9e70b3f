"""A learned fusion as a graph: tiny, run where it is called, once a second and person."""

from pathlib import Path
from typing import Final

from sidecar.errors import PackError
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import InputSpec, ModelSpec, OutputSpec
from sidecar.types import EMOTIONS, Modality

EVIDENCE_WIDTH: Final = len(EMOTIONS) + 4
"""Numbers a modality: see `sidecar.fusion.learned.features`."""


def fusion_spec(path: Path) -> ModelSpec:
    """What a fusion graph looks like. It is not in the manifest, which names a modality for each model."""
    return ModelSpec(
        name="fusion",
        version="1",
        modality=Modality.FACE,
        role="encoder",
        file=path.name,
        sha256="0" * 64,
        source=f"file:{path}",
        recipe="python -m models.train.fusion",
        licence="as of the encoders it was trained on",
        commercial=False,
        trained_on=(),
        input=(
            InputSpec(
                name="evidence", shape=("batch", len(Modality), EVIDENCE_WIDTH), type="float32", units="see learned.py"
            ),
        ),
        output=(OutputSpec(name="logits", shape=("batch", len(EMOTIONS)), units="before softmax"),),
        preprocess="sidecar.fusion.learned.features",
        provider="cpu",
    )


def open_fusion_network(path: Path, threads: int = 1) -> OrtModel:
    """Raises `PackError` where the file is missing or no fusion network."""
    if not path.is_file():
        raise PackError(f"{path}: no such file (engines.fusion_model); `python -m models.train.fusion` makes one")
    return OrtModel(fusion_spec(path), path, threads)
