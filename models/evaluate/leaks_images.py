"""The same picture on both sides of a split, also where it was scaled, compressed or lit otherwise.

Candidates are found by a perceptual hash of 64 bits, the signs of the low frequencies of a cosine transform against
their median (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010), and kept where the
pictures themselves correlate: faces in one pose have like hashes without being one picture.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from sidecar.types import ByteArray

HAMMING: Final = 6
"""Bits of the hash that may differ."""
CORRELATION: Final = 0.98
"""How alike two pictures must be, pixel by pixel, brightness and contrast aside."""
_BLOCK: Final = 2048

Hashes = NDArray[np.uint64]


def pixel_hash(image: ByteArray) -> str:
    """The same for equal pictures only."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def perceptual_hashes(images: NDArray[np.uint8]) -> Hashes:
    """(n,) uint64 of (n, side, side) pictures."""
    low = dctn(images.astype(np.float32), axes=(1, 2), norm="ortho")[:, :8, :8].reshape(len(images), 64)
    low[:, 0] = 0  # brightness
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def alike(one: Sequence[ByteArray], other: Sequence[ByteArray]) -> list[tuple[int, int, float]]:
    """Pairs (i of `one`, j of `other`) of one picture, with their correlation; all pictures of one size."""
    if not len(one) or not len(other):
        return []
    first, second = np.stack(list(one)), np.stack(list(other))
    left, right = perceptual_hashes(first), perceptual_hashes(second)
    pairs: list[tuple[int, int, float]] = []
    for start in range(0, len(left), _BLOCK):
        apart = np.bitwise_count(left[start : start + _BLOCK, None] ^ right[None])
        for i, j in np.argwhere(apart <= HAMMING):
            likeness = correlation(first[start + i], second[j])
            if likeness >= CORRELATION:
                pairs.append((int(start + i), int(j), likeness))
    return pairs


def correlation(one: ByteArray, other: ByteArray) -> float:
    """Pearson's r of the pixels; 0 for a flat picture."""
    a, b = (image.astype(np.float64).ravel() - image.mean() for image in (one, other))
    scale = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float(a @ b) / scale if scale > 0 else 0.0
