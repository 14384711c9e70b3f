"""From the rows of a batch to an encoder's output."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidecar.errors import PackError
from sidecar.inference.manifest import ModelSpec
from sidecar.types import EncoderOutput, Modality


def require(spec: ModelSpec, modality: Modality, inputs: set[str]) -> None:
    """Raise `PackError` unless the model is an encoder of this contract."""
    problem = None
    if spec.modality is not modality or spec.role != "encoder":
        problem = f"is a {spec.modality} {spec.role}, not a {modality} encoder"
    elif {tensor.name for tensor in spec.input} != inputs:
        problem = f"must have the inputs {', '.join(sorted(inputs))}"
    elif not {"logits", "embedding"} <= {tensor.name for tensor in spec.output}:
        problem = "must have the outputs logits and embedding"
    if problem is not None:
        raise PackError(f"model {spec.name!r} {problem}; correct the manifest or choose another model")


def encoder_output(row: Mapping[str, NDArray[Any]], sentiment: float | None = None) -> EncoderOutput:
    """`logits`, `embedding` and, where the graph has it, `vad`: valence, arousal, dominance, each cut to -1..1."""
    valence = arousal = dominance = None
    if "vad" in row:
        valence, arousal, dominance = (float(value) for value in np.clip(row["vad"], -1.0, 1.0))
    return EncoderOutput(
        logits=row["logits"].astype(np.float32, copy=False),
        embedding=row["embedding"].astype(np.float32, copy=False),
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        sentiment=sentiment,
    )


def deadline(arrived_s: float, max_age_s: float | None) -> float | None:
    """Monotonic time after which a unit is too old to encode; None where nothing may be shed (recordings)."""
    return None if max_age_s is None else arrived_s + max_age_s
