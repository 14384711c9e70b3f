"""Sound and pictures of any common file, as the encoders read them."""

from pathlib import Path
from typing import Final

import av
import numpy as np
import soundfile  # type: ignore[import-untyped]
from av.error import FFmpegError

from sidecar.types import SAMPLE_RATE_HZ, ByteArray, FloatArray

BT601: Final = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601)."""


class UnreadableMedia(ValueError):
    """A file that holds no decodable sound or picture; the message names it."""


def read_audio(path: Path, span_s: tuple[float, float] | None = None) -> FloatArray:
    """(samples,) float32, 16 kHz mono, -1..1; other rates are resampled and channels mixed. `span_s`: that part only.

    Raises `UnreadableMedia`.
    """
    samples = _as_stored(path, span_s)
    if samples is None:
        samples = _resampled(path)
        if span_s is not None:
            samples = samples[round(span_s[0] * SAMPLE_RATE_HZ) : round(span_s[1] * SAMPLE_RATE_HZ)]
    if not len(samples):
        raise UnreadableMedia(f"{path}: no sound" + ("" if span_s is None else f" from {span_s[0]} to {span_s[1]} s"))
    return samples


def _as_stored(path: Path, span_s: tuple[float, float] | None) -> FloatArray | None:
    """The samples of a file that is 16 kHz mono already; None for any other."""
    try:
        with soundfile.SoundFile(path) as file:
            if file.samplerate != SAMPLE_RATE_HZ or file.channels != 1:
                return None
            start, stop = (0.0, np.inf) if span_s is None else span_s
            first, last = (int(min(round(min(at, 1e9) * SAMPLE_RATE_HZ), file.frames)) for at in (start, stop))
            file.seek(first)
            samples: FloatArray = file.read(max(0, last - first), dtype="float32")
            return samples
    except soundfile.LibsndfileError:
        return None


def _resampled(path: Path) -> FloatArray:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
    pieces: list[FloatArray] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise UnreadableMedia(f"{path}: no audio track")
            for frame in (*container.decode(container.streams.audio[0]), None):  # None flushes the resampler
                pieces += [each.to_ndarray().reshape(-1).astype(np.float32) for each in resampler.resample(frame)]
    except (FFmpegError, OSError) as error:
        raise UnreadableMedia(f"{path}: not readable as sound ({error})") from error
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def read_luma(picture: Path | ByteArray, side_px: int) -> ByteArray:
    """(side, side) uint8 BT.601 luma of the middle square of a file or of (height, width) luma, by area.

    Raises `UnreadableMedia`.
    """
    luma = picture if isinstance(picture, np.ndarray) else _luma(picture)
    side = min(luma.shape)
    top, left = (luma.shape[0] - side) // 2, (luma.shape[1] - side) // 2
    square = np.ascontiguousarray(luma[top : top + side, left : left + side])
    if side == side_px:
        return square
    frame = av.VideoFrame.from_ndarray(square, format="gray")
    return frame.reformat(side_px, side_px, interpolation="AREA").to_ndarray().astype(np.uint8)


def _luma(path: Path) -> ByteArray:
    try:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0), None)
    except (FFmpegError, OSError, IndexError) as error:
        raise UnreadableMedia(f"{path}: not readable as a picture ({error})") from error
    if frame is None:
        raise UnreadableMedia(f"{path}: no picture in it")
    luma = frame.to_ndarray(format="rgb24").astype(np.float32) @ np.asarray(BT601, np.float32)
    return np.rint(luma).astype(np.uint8)
