"""Vocal expression by a speech transformer, of the wav2vec2 or the Whisper family alike.

Both take the waveform: wav2vec2's convolutions are its front end, the Whisper graphs carry their log-mel inside.
"""

from sidecar.inference.batcher import Batcher
from sidecar.inference.manifest import ModelSpec
from sidecar.inference.row import deadline, encoder_output, require
from sidecar.types import AudioWindow, EncoderOutput, Modality


class SpeechEncoder:
    """Any voice graph of the contract: `audio` float32 (batch, 48000), 16 kHz -> `logits`, `embedding`, maybe `vad`."""

    def __init__(self, spec: ModelSpec, batcher: Batcher, max_age_s: float | None) -> None:
        require(spec, Modality.VOICE, {"audio"})
        self._batcher = batcher
        self._max_age_s = max_age_s

    async def encode(self, unit: AudioWindow) -> EncoderOutput:
        row = await self._batcher.infer({"audio": unit.samples}, unit.permit, deadline(unit.arrived_s, self._max_age_s))
        return encoder_output(row)
