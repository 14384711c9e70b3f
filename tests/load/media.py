"""What the participants of the benchmark show and say: a talking head each, speech without pauses or 30 % of it."""

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray
from skimage.data import astronaut

from models.datasets import data_root
from sidecar.demo.speaker import speak

_RATE_HZ: Final = 48_000
_FRAME: Final = _RATE_HZ // 50  # 20 ms
_SPEECH_DB: Final = -30.0
"""Below the loudest frame: quieter is a pause."""
TURN_S: Final = 4.0
_HISS: Final = 20.0
"""Standard deviation of the noise of a quiet room, of 32768."""

Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Part:
    """One participant's media files."""

    video: Path
    voice: Path


def parts(folder: Path, people: int, speech_share: float) -> list[Part]:
    """Media of each participant, voices written into `folder`: GRID's talking heads, else a portrait and eSpeak."""
    clips = sorted((data_root() / "clips").glob("*.mpg"))
    sources = [(clip, clip) for clip in clips] or [(_portrait(folder), spoken(folder))]
    made = []
    for index in range(people):
        video, voice = sources[index % len(sources)]
        made.append(Part(video, _voice(folder, voice, speech_share, index / people)))
    return made


def _voice(folder: Path, source: Path, speech_share: float, shift: float) -> Path:
    """A turn of speech from the source without its pauses, then as much of a quiet room as makes it the share.

    It begins at `shift` of its length, so that people take turns.
    """
    speech = _without_pauses(sound(source, _RATE_HZ))
    turn = np.tile(speech, -(-int(TURN_S * _RATE_HZ) // len(speech)))[: int(TURN_S * _RATE_HZ)]
    quiet = np.random.default_rng(0).normal(0, _HISS, int(len(turn) * (1 / speech_share - 1))).astype(np.int16)
    cycle = np.concatenate([turn, quiet])
    path = folder / f"{source.stem}-{speech_share:.2f}-{shift:.2f}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        file.writeframes(np.roll(cycle, int(shift * len(cycle))).tobytes())
    return path


def sound(source: Path, rate_hz: int) -> Samples:
    """A file's sound, (samples,) int16 mono."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
    with av.open(str(source)) as container:
        pieces = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    samples: Samples = np.concatenate(pieces)
    return samples


def _without_pauses(samples: Samples) -> Samples:
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    loud: Samples = frames[power > power.max() * 10 ** (_SPEECH_DB / 10)].ravel()
    return loud


def spoken(folder: Path) -> Path:
    """A sentence of synthesised speech, some 4 s."""
    path = folder / "spoken.wav"
    speak(("the quick brown fox jumps over the lazy dog and is gone",), "en-us+f3", path)
    return path


def _portrait(folder: Path) -> Path:
    path = folder / "portrait.png"
    with av.open(str(path), "w", format="image2") as container:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(astronaut()[:288, 80:368]), "rgb24")
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "rgb24"
        container.mux([*stream.encode(picture), *stream.encode(None)])
    return path
