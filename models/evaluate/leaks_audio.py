"""The same recording on both sides of a split, also where it was encoded anew, cut or made louder.

The fingerprint is that of Haitsma and Kalker, "A highly robust audio fingerprinting system" (ISMIR 2002): frames of
0.37 s, 33 bands from 300 to 2000 Hz, and for each frame a word of 32 bits, the signs of how the differences between
neighbouring bands change from the frame before. Two recordings that share a word, the weakest bits of one turned at
will, are laid over each other there, and are copies where few bits differ (unrelated speech differs in about half).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.signal import resample_poly

from sidecar.types import SAMPLE_RATE_HZ, FloatArray

DIFFERING: Final = 0.25
"""Share of differing bits below which two recordings are copies; the authors take 0.35 for 3 s."""
LEAST_WORDS: Final = 20
"""Words of sound, 0.6 s, that two recordings must share in time, unless one of them has no more."""
_DOWN: Final = 3
"""Nothing above 2000 Hz is heard, so a third of the samples do."""
_FRAME: Final = 1973
"""Those samples in 0.37 s."""
_HOP: Final = 171
"""From frame to frame, 32 ms: the frames overlap so far that a shift of half of it hardly matters."""
_SPECTRUM: Final = 2048
_BANDS: Final = 33
_WEAK: Final = 4
"""Bits that a search may turn."""
_COMMON: Final = 40
"""A word that stands more often than this tells nothing."""
_QUIET_DB: Final = -35.0
"""Frames this far below the loudest are silence, whose words are noise."""


@dataclass(frozen=True, slots=True)
class Print:
    """What a recording is known by."""

    words: NDArray[np.uint32]  # (frames,)
    sounding: NDArray[np.bool_]  # (frames,) of sound rather than silence
    weak: NDArray[np.uint32]  # (frames, 4) the bits closest to tipping, each as a word with that bit alone


def sample_hash(samples: FloatArray) -> str:
    """The same for recordings that decode to the same 16-bit samples, whatever their files."""
    return hashlib.sha256(np.rint(samples * 32767).astype(np.int16).tobytes()).hexdigest()


def fingerprint(samples: FloatArray) -> Print:
    """Of 16 kHz mono sound."""
    low = resample_poly(samples, 1, _DOWN).astype(np.float32)
    padded = np.pad(low, (0, max(0, _FRAME + _HOP - len(low))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP] * np.hanning(_FRAME).astype(np.float32)
    spectrum = rfft(frames, _SPECTRUM)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    edges = np.geomspace(300, 2000, _BANDS + 1) * _SPECTRUM * _DOWN / SAMPLE_RATE_HZ
    energy = np.add.reduceat(power, edges.astype(int)[:-1], axis=1)
    slope = np.diff(np.diff(energy, axis=1), axis=0)  # (frames, 32)
    bits = np.uint32(1) << np.arange(_BANDS - 1, dtype=np.uint32)
    level = energy.sum(1)[1:]
    return Print(
        words=((slope > 0) * bits).sum(1).astype(np.uint32),
        sounding=level > level.max() * 10 ** (_QUIET_DB / 10),
        weak=bits[np.argsort(np.abs(slope), axis=1)[:, :_WEAK]],
    )


def copies(prints: Sequence[Print], side: Sequence[int]) -> list[tuple[int, int, float]]:
    """Pairs of recordings on different sides that are copies, with the share of bits that differ.

    `side` says for each recording on which side of a split it stands.
    """
    best: dict[tuple[int, int], float] = {}
    for one, other, shift in _meetings(prints, np.asarray(side)):
        differing = difference(prints[one], prints[other], shift)
        if differing <= DIFFERING:
            best[one, other] = min(differing, best.get((one, other), 1.0))
    return [(one, other, differing) for (one, other), differing in sorted(best.items())]


def difference(one: Print, other: Print, shift: int) -> float:
    """Share of differing bits where `one` begins `shift` frames into `other`; 1 where too little sound is shared.

    Of recordings with fewer than `LEAST_WORDS` words it counts double: short sounds are alike by chance.
    """
    start, stop = max(0, -shift), min(len(one.words), len(other.words) - shift)
    mine, theirs = slice(start, stop), slice(start + shift, stop + shift)
    heard = one.sounding[mine] & other.sounding[theirs]
    if stop <= start or heard.sum() < min(LEAST_WORDS, one.sounding.sum(), other.sounding.sum()):
        return 1.0
    changed = float(np.bitwise_count(one.words[mine] ^ other.words[theirs])[heard].mean()) / 32
    return changed if heard.sum() >= LEAST_WORDS else 2 * changed


def _meetings(prints: Sequence[Print], side: NDArray[np.int64]) -> set[tuple[int, int, int]]:
    """(one, other, shift) of recordings on different sides that share a word, `one` before `other`."""
    number = np.concatenate([np.full(each.sounding.sum(), i) for i, each in enumerate(prints)])
    frame = np.concatenate([np.flatnonzero(each.sounding) for each in prints])
    words = np.concatenate([each.words[each.sounding] for each in prints])
    weak = np.concatenate([each.weak[each.sounding] for each in prints])
    order = np.argsort(words, kind="stable")
    found: set[tuple[int, int, int]] = set()
    for mask in _masks(weak):
        for i, j in _equal(words ^ mask, words[order], order):
            if number[i] < number[j] and side[number[i]] != side[number[j]]:
                found.add((int(number[i]), int(number[j]), int(frame[j] - frame[i])))
    return found


def _masks(weak: NDArray[np.uint32]) -> Iterator[NDArray[np.uint32]]:
    """(frames,) for each way of turning some of the weak bits."""
    for chosen in range(1 << _WEAK):
        turned = np.array([chosen >> bit & 1 for bit in range(_WEAK)], np.uint32)
        yield (weak * turned).sum(1).astype(np.uint32)


def _equal(
    asked: NDArray[np.uint32], ordered: NDArray[np.uint32], order: NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """(i of `asked`, j of the words in their own order) that are equal, common words aside."""
    first, last = np.searchsorted(ordered, asked, "left"), np.searchsorted(ordered, asked, "right")
    count = last - first
    for i in np.flatnonzero((count > 0) & (count <= _COMMON)):
        for place in range(first[i], last[i]):
            yield int(i), int(order[place])
