"""Facial expression by a vision transformer."""

from sidecar.inference.batcher import Batcher
from sidecar.inference.manifest import ModelSpec
from sidecar.inference.row import deadline, encoder_output, require
from sidecar.types import EncoderOutput, FaceCrop, Modality


class FaceVit:
    """Any face graph of the contract: `face` uint8 (batch, 1, 48, 48) luma -> `logits`, `embedding`."""

    def __init__(self, spec: ModelSpec, batcher: Batcher, max_age_s: float | None) -> None:
        require(spec, Modality.FACE, {"face"})
        self._batcher = batcher
        self._max_age_s = max_age_s

    async def encode(self, unit: FaceCrop) -> EncoderOutput:
        row = await self._batcher.infer(
            {"face": unit.luma[None]}, unit.permit, deadline(unit.arrived_s, self._max_age_s)
        )
        return encoder_output(row)
