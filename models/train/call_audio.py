"""Studio clips made to sound like a call: continuous speech cut anywhere, rooms, noise, telephones, Opus, lost packets.

Acted clips have silence before and after one sentence and hide nothing; a live window lies inside speech and has gone
through a room, a browser's gain control, a codec and a network. Pitch and pace make another person's voice of one.
Samples are float32, 16 kHz, -1..1 throughout.
"""

from collections.abc import Sequence
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, resample_poly, sosfilt

from models.datasets.speech import SAMPLE_RATE_HZ

Samples = NDArray[np.float32]
Random = np.random.Generator

WINDOW: Final = 3 * SAMPLE_RATE_HZ
_FRAME: Final = SAMPLE_RATE_HZ // 50
_SILENCE_DB: Final = -35.0
"""A frame this far below the loudest is silence."""


def centred(samples: Samples) -> Samples:
    """The middle 3 s, or the whole with equal silence on both sides."""
    spare = len(samples) - WINDOW
    if spare >= 0:
        return samples[spare // 2 : spare // 2 + WINDOW]
    return np.pad(samples, (-spare // 2, -spare - -spare // 2))


def spoken(samples: Samples) -> Samples:
    """The clip without the silence before and after it."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    energy = np.square(frames).mean(1)
    heard = np.flatnonzero(energy > energy.max() * 10 ** (_SILENCE_DB / 10))
    return samples[heard[0] * _FRAME : (heard[-1] + 1) * _FRAME] if len(heard) else samples


def live_window(clips: Sequence[Samples], random: Random) -> Samples:
    """(48000,) cut anywhere out of the clips spoken one after the other, with short pauses between.

    Where they do not fill 3 s, silence stands before or after them, as at the start or end of a turn.
    """
    parts: list[Samples] = []
    for clip in clips:
        parts += [spoken(clip), np.zeros(random.integers(0, SAMPLE_RATE_HZ // 2), np.float32)]
    passage = np.concatenate(parts[:-1])
    spare = len(passage) - WINDOW
    if spare >= 0:
        start = random.integers(spare + 1)
        return passage[start : start + WINDOW]
    before = random.integers(-spare + 1)
    return np.pad(passage, (before, -spare - before))


def degraded(samples: Samples, random: Random) -> Samples:
    """The window as a call might deliver it: each step happens or not, by chance."""
    if random.random() < 0.3:
        samples = in_a_room(samples, random)
    if random.random() < 0.5:
        samples = with_noise(samples, random)
    if random.random() < 0.2:
        samples = band_limited(samples, random)
    samples = at_level(samples, random.uniform(-32, -14))
    if random.random() < 0.4:
        samples = through_opus(samples, int(random.choice([12_000, 16_000, 24_000, 32_000])))
    if random.random() < 0.2:
        samples = with_losses(samples, random)
    return samples


def varied(samples: Samples, random: Random) -> Samples:
    """A clip in a voice up to two and a half semitones off, and up to a sixth faster or slower."""
    return at_pace(at_pitch(samples, int(random.integers(-3, 4))), random.uniform(0.86, 1.16))


def at_pitch(samples: Samples, steps: int) -> Samples:
    """Higher by `steps` twentieths of the frequency, formants included; as long as before, to a hundredth."""
    if steps == 0:
        return samples
    return at_pace(resample_poly(samples, 20, 20 + steps).astype(np.float32), 20 / (20 + steps))


def at_pace(samples: Samples, pace: float) -> Samples:
    """`pace` times as fast, at the same pitch (WSOLA: Verhelst and Roelands, ICASSP 1993).

    Pieces of 40 ms are laid half over each other; each is taken from up to 10 ms around its place, where it goes on
    most like the piece before.
    """
    hop, reach = _FRAME, _FRAME // 2
    pieces = int(len(samples) / pace) // hop - 1
    if pieces < 1:
        return samples
    padded = np.pad(samples, (reach, 3 * hop + 2 * reach))
    window = np.hanning(2 * hop + 1)[:-1]
    out = np.zeros((pieces + 1) * hop)
    start = reach
    for piece in range(pieces):
        if piece:
            wanted = padded[start + hop : start + 3 * hop]
            first = min(round(piece * hop * pace), len(samples) - 1)
            around = padded[first : first + 2 * hop + 2 * reach]
            start = first + int(np.correlate(around[: len(wanted) + 2 * reach], wanted, "valid").argmax())
        out[piece * hop : (piece + 2) * hop] += window * padded[start : start + 2 * hop]
    return _single(out)


def in_a_room(samples: Samples, random: Random) -> Samples:
    """Reverberation: exponentially decaying noise of 0.15 to 0.6 s behind the direct sound."""
    decay_s = random.uniform(0.15, 0.6)
    time_s = np.arange(int(decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = random.normal(0, 1, len(time_s)) * np.exp(-6.9 * time_s / decay_s)  # -60 dB at the end
    tail[: SAMPLE_RATE_HZ // 500] = 0
    tail *= 10 ** (random.uniform(-12, 0) / 20) / np.sqrt(np.square(tail).sum())
    tail[0] = 1.0
    return _single(fftconvolve(samples, tail)[: len(samples)])


def with_noise(samples: Samples, random: Random) -> Samples:
    """Noise between white and brown at 8 to 30 dB below the speech."""
    slope = random.uniform(0, 2)
    spectrum = np.fft.rfft(random.normal(0, 1, len(samples)))
    noise = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 20) ** (slope / 2), len(samples))
    snr_db = random.uniform(8, 30)
    ratio = np.sqrt(np.square(samples).mean() / max(np.square(noise).mean(), 1e-12)) * 10 ** (-snr_db / 20)
    return _single(samples + noise * ratio)


def band_limited(samples: Samples, random: Random) -> Samples:
    """A telephone's band: 200-400 Hz to 3-3.6 kHz."""
    edges = (random.uniform(200, 400), random.uniform(3000, 3600))
    return _single(sosfilt(butter(4, edges, "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), samples))


def at_level(samples: Samples, level_db: float) -> Samples:
    """Scaled to a root mean square of `level_db` below full scale, and clipped there."""
    rms = max(float(np.sqrt(np.square(samples).mean())), 1e-6)
    return _single(np.clip(samples * (10 ** (level_db / 20) / rms), -1, 1))


def through_opus(samples: Samples, bits_per_s: int) -> Samples:
    """Encoded and decoded by libopus in frames of 20 ms, as WebRTC sends speech; the codec's delay is taken off."""
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = SAMPLE_RATE_HZ, "mono", "flt", bits_per_s
    encoder.options = {"application": "voip", "compression_level": "5"}
    encoder.open()
    decoder = av.CodecContext.create("libopus", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.extradata = encoder.extradata
    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
    padded = np.pad(samples, (0, _FRAME * 4 - len(samples) % _FRAME))
    packets = []
    for start in range(0, len(padded), _FRAME):
        frame = av.AudioFrame.from_ndarray(padded[None, start : start + _FRAME], "flt", "mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, start
        packets += encoder.encode(frame)
    decoded = [
        out.to_ndarray()[0]
        for packet in packets
        for frame in decoder.decode(packet)
        for out in resampler.resample(frame)
    ]
    decoded += [out.to_ndarray()[0] for out in resampler.resample(None)]
    return _single(np.concatenate(decoded)[: len(samples)])


def with_losses(samples: Samples, random: Random) -> Samples:
    """Frames of 20 ms lost in bursts of three or so; each burst is the frame before it, fading away."""
    share, burst = random.uniform(0.02, 0.15), 3
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME).copy()
    lost = False
    for i in range(1, len(frames)):  # two states, as Gilbert's model (Bell System Technical Journal 39, 1960)
        lost = random.random() < (1 - 1 / burst if lost else share / (1 - share) / burst)
        if lost:
            frames[i] = 0.5 * frames[i - 1]
    return np.concatenate((frames.ravel(), samples[frames.size :]))


def _single(samples: NDArray[np.float64]) -> Samples:
    single: Samples = samples.astype(np.float32)
    return single
