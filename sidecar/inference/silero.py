"""Speech probability of every 32 ms by silero-vad 6 at 16 kHz.

The network reads 512 new samples behind the 64 before them and carries a state from frame to frame
(silero-vad's `utils_vad.py`, class OnnxWrapper). The state belongs to the person, the network to all rooms.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sidecar.errors import PackError
from sidecar.inference.batcher import Batcher
from sidecar.inference.manifest import ModelSpec
from sidecar.types import SAMPLE_RATE_HZ, AudioChunk, FloatArray

FRAME_SAMPLES: Final = 512
CONTEXT_SAMPLES: Final = 64
_STATE_SHAPE: Final = (2, 1, 128)
_GAP_S: Final = 0.02
"""A jump of the media time by more than this starts anew; less is jitter of the stamps."""


class VadStream:
    """One person's place in the network: samples that do not fill a frame yet, context and state."""

    __slots__ = ("_context", "_end_s", "_rest", "state")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all sound heard."""
        self._rest: FloatArray = np.zeros(0, np.float32)  # fewer than 512 samples
        self._context: FloatArray = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._end_s: float | None = None  # media time after the newest sample
        self.state: NDArray[Any] = np.zeros(_STATE_SHAPE, np.float32)

    def frames(self, chunk: AudioChunk) -> tuple[float, FloatArray]:
        """Media time of the first frame that `chunk` completes, and the frames (frames, 576) float32.

        A gap in media time starts anew. Samples that are no numbers are silence here: one of them would stay in
        the state for ever.
        """
        if self._end_s is None or abs(chunk.media_time_s - self._end_s) > _GAP_S:
            self.clear()
        samples = chunk.samples
        if not np.isfinite(samples).all():
            samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        start_s = chunk.media_time_s - len(self._rest) / SAMPLE_RATE_HZ
        self._end_s = chunk.end_s
        samples = np.concatenate([self._context, self._rest, samples])
        count = (len(samples) - CONTEXT_SAMPLES) // FRAME_SAMPLES
        used = count * FRAME_SAMPLES
        contexts = samples[:used].reshape(count, FRAME_SAMPLES)[:, :CONTEXT_SAMPLES]
        news = samples[CONTEXT_SAMPLES : CONTEXT_SAMPLES + used].reshape(count, FRAME_SAMPLES)
        self._context = samples[used : used + CONTEXT_SAMPLES].copy()
        self._rest = samples[used + CONTEXT_SAMPLES :].copy()
        return start_s, np.concatenate([contexts, news], axis=1)


class SileroVad:
    """`input` float32 (frames, 576), `state` (2, 1, 128) -> `output` (frames, 1), `stateN`.

    Its batcher takes one unit at a time, whole (`Whole`, `max_batch=1`): axis 0 is one person's time.
    """

    def __init__(self, spec: ModelSpec, batcher: Batcher) -> None:
        if {tensor.name for tensor in spec.input} != {"input", "state"}:
            raise PackError(f"model {spec.name!r} must have the inputs input and state; choose another model")
        self._batcher = batcher

    async def detect(self, stream: VadStream, chunk: AudioChunk) -> tuple[float, FloatArray]:
        """Media time of the first frame that `chunk` completes, and the probability of speech in each (frames,).

        One call to the network, whatever the length of the chunk. To be awaited for one chunk of a stream after
        the other. Raises `Overloaded` (the stream then has a hole, and goes on), `PermitRevoked`.
        """
        start_s, frames = stream.frames(chunk)
        if not len(frames):
            return start_s, np.zeros(0, np.float32)
        row = await self._batcher.infer({"input": frames, "state": stream.state}, chunk.permit)
        stream.state = row["stateN"]
        return start_s, row["output"][:, 0]
