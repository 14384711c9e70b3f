"""Windows on the grid of media time, and what becomes of gaps, nonsense and revoked permits."""

import numpy as np
import pytest

from sidecar.errors import PermitRevoked
from sidecar.media.audio_window import AudioWindowOptions, AudioWindows, Cut, finite, measure
from sidecar.media.speech_gate import SpeechGate, SpeechGateOptions
from sidecar.types import AudioChunk, FloatArray, Modality, Permit
from tests.media.speech import jfk


class Rig:
    """Windows behind a gate that is told what is speech."""

    def __init__(self, **options: float) -> None:
        self.gate = SpeechGate(SpeechGateOptions())
        self.windows = AudioWindows(self.gate, AudioWindowOptions(**options))
        self.permit = Permit("ada", Modality.VOICE)

    def push(self, samples: FloatArray, media_time_s: float, arrived_s: float = 0.0) -> list[Cut]:
        chunk = AudioChunk(samples.astype(np.float32), media_time_s, arrived_s, self.permit)
        return self.windows.push(chunk)

    def play(self, from_s: float, to_s: float, *, speech: bool = True, size: int = 1600) -> list[Cut]:
        """A ramp that tells each sample's media time, heard as speech or not."""
        first, last = round(from_s * 16_000), round(to_s * 16_000)
        cuts = []
        judged = first
        for start in range(first, last, size):
            count = min(size, last - start)
            frames = (start + count - judged) // 512
            self.gate.push(judged / 16_000, np.full(frames, 0.9 if speech else 0.0, np.float32))
            judged += frames * 512
            cuts += self.push(ramp(start, count), start / 16_000, arrived_s=100 + (start + count) / 16_000)
        return cuts


def ramp(start: int, count: int) -> FloatArray:
    return (np.arange(start, start + count) / 1e6).astype(np.float32)


def test_windows_end_on_whole_seconds() -> None:
    cuts = Rig().play(0.35, 6.35)
    assert [cut.media_to_s for cut in cuts] == [2.0, 3.0, 4.0, 5.0, 6.0]
    last = cuts[-1]
    np.testing.assert_allclose(last.samples, ramp(48_000, 48_000))
    assert last.arrived_s == pytest.approx(106.05)


@pytest.mark.parametrize("size", [160, 1000, 4800, 16_000])
def test_the_size_of_the_chunks_does_not_matter(size: int) -> None:
    for ours, theirs in zip(Rig().play(0.2, 5.0, size=size), Rig().play(0.2, 5.0), strict=True):
        assert ours.media_to_s == theirs.media_to_s
        np.testing.assert_array_equal(ours.samples, theirs.samples)


def test_the_first_window_is_silent_before_the_stream_began() -> None:
    (cut,) = Rig().play(10.9, 12.1)
    assert cut.media_to_s == 12.0
    assert not cut.samples[: -round(1.1 * 16_000)].any()
    np.testing.assert_allclose(cut.samples[-17_600:], ramp(round(10.9 * 16_000), 17_600))


def test_a_window_needs_speech_somewhere_in_it() -> None:
    rig = Rig()
    assert rig.play(0.0, 3.9, speech=False) == []
    assert [cut.media_to_s for cut in rig.play(3.9, 5.5)] == [5.0]
    assert [cut.media_to_s for cut in rig.play(5.5, 9.0, speech=False)] == [6.0, 7.0]


def test_options() -> None:
    rig = Rig(hop_s=0.5, min_speech_s=1.9)
    assert [cut.media_to_s for cut in rig.play(0.0, 3.2)] == [2.0, 2.5, 3.0]


def test_a_short_gap_is_silence_and_a_long_one_a_new_start() -> None:
    rig = Rig()
    rig.play(0.0, 3.5)
    (cut,) = rig.play(4.25, 5.1)
    silent = np.flatnonzero(cut.samples == 0)
    assert (silent[0], silent[-1]) == (24_000, 35_999)
    np.testing.assert_allclose(cut.samples[:24_000], ramp(32_000, 24_000))
    cuts = rig.play(60.5, 62.0)
    assert not cuts[0].samples[:24_000].any()


def test_sound_that_overlaps_is_heard_once() -> None:
    rig = Rig()
    rig.play(0.0, 2.5)
    rig.push(ramp(32_000, 8_000), 2.0)  # all of it known
    rig.push(ramp(36_000, 8_000), 2.25)  # half of it known
    (cut,) = rig.play(2.75, 3.0)
    np.testing.assert_allclose(cut.samples, ramp(0, 48_000))


def test_samples_that_are_no_numbers_are_silence_and_counted() -> None:
    samples, bad = finite(np.array([0.5, np.nan, np.inf, -np.inf, 7.0, -7.0], np.float32))
    assert bad == 3
    assert samples.tolist() == [0.5, 0.0, 0.0, 0.0, 1.0, -1.0]
    rig = Rig()
    rig.play(0.0, 1.9)
    (cut,) = rig.push(np.full(1600, np.nan), 1.9)
    assert rig.windows.not_finite == 1600
    assert np.isfinite(cut.samples).all()


def test_a_revoked_or_renewed_permit_starts_from_silence() -> None:
    rig = Rig()
    rig.play(0.0, 2.5)
    rig.permit.revoke()
    with pytest.raises(PermitRevoked):
        rig.push(np.ones(1600), 2.5)
    rig.permit = Permit("ada", Modality.VOICE)
    (cut,) = rig.play(2.5, 3.0)
    assert not cut.samples[:-8_000].any()


def test_clearing_forgets_all_sound() -> None:
    rig = Rig()
    rig.play(0.0, 2.5)
    rig.windows.clear()
    (cut,) = rig.play(2.5, 3.0)
    assert not cut.samples[:-8_000].any()


def test_a_measured_window() -> None:
    rig = Rig()
    speech = jfk()[:48_000]
    for start in range(0, 48_000, 1600):
        rig.gate.push(start / 16_000, np.full(3, 0.9, np.float32))
        cuts = rig.push(speech[start : start + 1600], start / 16_000)
    window = measure(cuts[0])
    assert (window.media_from_s, window.media_to_s) == (0.0, 3.0)
    assert window.speech_s == pytest.approx(3.0, abs=0.02)
    assert 0 < window.quality <= 1
    assert window.cues["pitch_hz"] is not None
    assert window.cues["speech_share"] == pytest.approx(1.0, abs=0.01)
    assert window.permit is rig.permit
