"""Several channels to one, block by block: without constant offset, and without losing what would cancel."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.types import FloatArray

Levels = NDArray[np.float64]

_OFFSET_TAU_S: Final = 2.0
"""Time over which the offset is averaged: far longer than a period of any voice."""
_LEAST_OFFSET: Final = 2e-3
"""-54 dB of full scale: less hardly affects the measured noise, and such sound is left as it is."""
_LARGE_OFFSET: Final = 0.01
_OFFSET_STEP: Final = 0.05
"""A block whose mean is this far from the average begins another offset; a voice's mean over a block is far smaller."""
_LEVEL_TAU_S: Final = 1.0
_SILENT: Final = 1e-4
"""Mean square of a silent channel relative to the loudest one: -40 dB, below the crosstalk of a headset."""
_INAUDIBLE: Final = 1e-10
_AUDIBLE: Final = 1e-6  # -60 dB of full scale
_CANCELS: Final = 0.25
"""Energy of the mix relative to that of unrelated channels; two equal channels at a correlation of -0.75."""
_CANCELS_NOW: Final = 0.05
"""The same of one block alone: channels whose polarity flips cancel at once."""
_ADDS: Final = 0.6
_RAMP_S: Final = 0.02
_ALONE: Final = 30.0
"""A channel is alone while it is 15 dB above the other: a call recorded per speaker has some echo."""
_LEAST_TURNS_S: Final = 1.5
_SHARE_ALONE: Final = 0.7
_FRONT: Final = frozenset({"FL", "FR", "FC"})


class Mixer:
    """One stream's channels, `names` as FFmpeg names them, at `rate_hz`."""

    def __init__(self, names: Sequence[str], rate_hz: int) -> None:
        channels = len(names)
        self._rate_hz = rate_hz
        self._weights = _weights(names)
        self._offset = np.zeros(channels)
        self._removed = np.zeros(channels)
        self._energy = np.zeros(channels)
        self._peak = np.zeros(channels)
        self._gains: Levels | None = None
        self._mixed = self._expected = 0.0
        self._samples = 0
        self._cancels = False
        self.offset_s = self.cancelled_s = 0.0
        """Seconds from which a large offset was removed, and for which one channel stands for all."""
        self._alone_s = [0.0, 0.0]
        self._both_s = 0.0

    def mix(self, block: FloatArray) -> FloatArray:
        """`block` (channels, samples) float32 -> (samples,) float32."""
        self._samples += block.shape[1]
        block = self._without_offset(block)
        if len(block) == 1:
            mono: FloatArray = block[0]
            return mono
        energy: Levels = np.einsum("ij,ij->i", block, block, dtype=np.float64) / block.shape[1]
        self._peak = np.maximum(self._peak, energy)
        self._energy += self._part(block, _LEVEL_TAU_S) * (energy - self._energy)
        self._follow_turns(energy, block.shape[1] / self._rate_hz)
        gains = self._choose(block, energy)
        before = gains if self._gains is None else self._gains
        self._gains = gains
        mono = gains.astype(np.float32) @ block
        if not np.array_equal(gains, before):
            ramp = np.minimum(np.arange(block.shape[1], dtype=np.float32) / (_RAMP_S * self._rate_hz), np.float32(1))
            mono = mono * ramp + (before.astype(np.float32) @ block) * (1 - ramp)
        return mono

    @property
    def silent(self) -> int:
        """Channels that are left out because they have been silent throughout, while another was not."""
        if self._samples < _LEAST_TURNS_S * self._rate_hz or self._peak.max() < _AUDIBLE:
            return 0
        return int(np.count_nonzero(~self._active()))

    @property
    def one_speaker_each(self) -> bool:
        """True for two channels that are mostly heard one at a time."""
        alone_s = sum(self._alone_s)
        return min(self._alone_s) >= _LEAST_TURNS_S and alone_s >= _SHARE_ALONE * (alone_s + self._both_s)

    def _part(self, block: FloatArray, tau_s: float) -> float:
        """Weight of a block in an average: a plain mean at first, exponential later."""
        samples: int = block.shape[1]
        return samples / max(samples, min(self._samples, tau_s * self._rate_hz))

    def _without_offset(self, block: FloatArray) -> FloatArray:
        """The block minus its slow mean, which changes linearly over the block."""
        first = self._samples == block.shape[1]
        change = block.mean(axis=1, dtype=np.float64) - self._offset
        self._offset += np.where(np.abs(change) > _OFFSET_STEP, 1.0, self._part(block, _OFFSET_TAU_S)) * change
        target = np.where(np.abs(self._offset) > _LEAST_OFFSET, self._offset, 0.0)
        before = target if first else self._removed
        self._removed = target
        if not (target.any() or before.any()):
            return block
        if np.abs(target).max() > _LARGE_OFFSET:
            self.offset_s += block.shape[1] / self._rate_hz
        ramp = np.linspace(0, 1, block.shape[1], dtype=np.float32)
        slope = (target - before).astype(np.float32)
        return block - before.astype(np.float32)[:, None] - slope[:, None] * ramp

    def _active(self) -> NDArray[np.bool_]:
        loudest = self._peak.max()
        active: NDArray[np.bool_] = self._peak > max(_INAUDIBLE, _SILENT * loudest)
        return active if active.any() else np.ones_like(active)

    def _choose(self, block: FloatArray, energy: Levels) -> Levels:
        """Gains of the channels: the weighted mean of those that are in use, or the loudest where they cancel."""
        weights = self._weights * self._active()
        if not weights.any():  # only the channel of low frequencies is in use
            weights = self._active().astype(np.float64)
        gains: Levels = weights / weights.sum()
        mixed = gains.astype(np.float32) @ block
        part = self._part(block, _LEVEL_TAU_S)
        of_mix, of_each = float(mixed @ mixed) / block.shape[1], float(np.square(gains) @ energy)
        if of_each > _AUDIBLE and of_mix < _CANCELS_NOW * of_each:
            part = 1.0
        self._mixed += part * (of_mix - self._mixed)
        self._expected += part * (of_each - self._expected)
        if self._expected > _INAUDIBLE:
            ratio = self._mixed / self._expected
            self._cancels = ratio < (_ADDS if self._cancels else _CANCELS)
        if not self._cancels:
            return gains
        self.cancelled_s += block.shape[1] / self._rate_hz
        return self._loudest()

    def _loudest(self) -> Levels:
        """The loudest channel alone; the one in use stays until another is twice as strong."""
        usable = self._energy * (self._weights > 0)
        best = int(np.argmax(usable))
        if self._gains is not None and np.count_nonzero(self._gains) == 1:
            now = int(np.argmax(self._gains))
            best = now if 2 * usable[now] >= usable[best] else best
        alone: Levels = np.zeros(len(usable))
        alone[best] = 1.0
        return alone

    def _follow_turns(self, energy: Levels, seconds: float) -> None:
        if len(energy) != 2 or energy.max() < _AUDIBLE:
            return
        for one, other in ((0, 1), (1, 0)):
            if energy[one] > _ALONE * energy[other]:
                self._alone_s[one] += seconds
                return
        self._both_s += seconds


def _weights(names: Sequence[str]) -> Levels:
    """Speech is in the centre where there is one; surround channels hold little of it, the low-frequency one none."""
    if len(names) <= 2 or not _FRONT & set(names):
        return np.ones(len(names))
    side = 0.5 if "FC" in names else 1.0
    known = {"FC": 1.0, "FL": side, "FR": side, "LFE": 0.0, "LFE2": 0.0}
    return np.array([known.get(name, 0.25) for name in names])
