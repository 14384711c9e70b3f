"""What becomes of a recording's channels, levels and odd samples."""

from pathlib import Path

import av
import numpy as np
import pytest

from sidecar.clock import SystemClock
from sidecar.sources.recording import open_recording, read_recording
from tests.sources.made import Make, encoded, write_sound
from tests.sources.reading import VOICE, read

RATE_HZ = 48_000


def voice(seconds=4.0, seed=0, rate_hz=RATE_HZ, level=0.1):
    """Noise with the rhythm of syllables, (samples,) float32."""
    rng = np.random.default_rng(seed)
    at_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (level * rng.standard_normal(len(at_s)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * at_s))).astype(np.float32)


def rms(sound):
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))


def heard(tmp_path, sound, layout="stereo", **kw):
    return read(write_sound(tmp_path / "a.wav", np.stack(sound), RATE_HZ, layout, codec="pcm_f32le", **kw))


def reference(tmp_path, sound):
    return read(write_sound(tmp_path / "ref.wav", sound[None], RATE_HZ, "mono", codec="pcm_f32le")).sound


def alike(found, expected):
    size = min(len(found), len(expected))
    return float(np.corrcoef(found[:size], expected[:size])[0, 1])


@pytest.mark.parametrize("gains", [(1, -1), (1, -0.7), (-0.6, 1)])
def test_channels_that_cancel_are_not_mixed(tmp_path, gains):
    sound = voice()
    found = heard(tmp_path, [gain * sound for gain in gains])
    expected = reference(tmp_path, sound)
    assert abs(alike(found.sound, expected)) > 0.99
    assert rms(found.sound) == pytest.approx(rms(expected) * max(np.abs(gains)), rel=0.02)
    assert found.said("cancel each other")


def test_channels_that_cancel_later_on(tmp_path):
    sound = voice(8)
    other = sound * np.where(np.arange(len(sound)) < len(sound) // 2, 1, -1).astype(np.float32)
    found = heard(tmp_path, [sound, other])
    assert rms(found.sound[6 * 16_000 :]) == pytest.approx(rms(found.sound[: 3 * 16_000]), rel=0.1)


@pytest.mark.parametrize("gain", [1, 0.8])
def test_channels_that_begin_to_cancel_lose_less_than_half_a_second(tmp_path, gain):
    sound = voice(8)
    other = gain * sound * np.where(np.arange(len(sound)) < len(sound) // 2, 1, -1).astype(np.float32)
    found = heard(tmp_path, [sound, other]).sound
    assert rms(found[4 * 16_000 + 8_000 : 5 * 16_000]) == pytest.approx(rms(found[: 3 * 16_000]), rel=0.3)


def test_an_offset_that_begins_on_the_way_is_removed_within_a_second(tmp_path):
    sound = voice(8)
    step = np.where(np.arange(len(sound)) < len(sound) // 2, 0, 0.3).astype(np.float32)
    found, expected = heard(tmp_path, [sound + step], "mono").sound, reference(tmp_path, sound)
    assert rms(found[5 * 16_000 :] - expected[5 * 16_000 : len(found)]) < 0.1 * rms(expected)


@pytest.mark.parametrize("silent", [0, 1])
@pytest.mark.parametrize("hiss", [0, 1e-5])
def test_a_silent_channel_does_not_halve_the_other(tmp_path, silent, hiss):
    sound = voice()
    channels = [sound, voice(seed=1, level=hiss)]
    found = heard(tmp_path, channels[::-1] if silent == 0 else channels)
    assert rms(found.sound) == pytest.approx(rms(reference(tmp_path, sound)), rel=0.02)
    assert found.said("1 of the channels are silent")


def test_equal_and_unrelated_channels_are_averaged(tmp_path):
    sound, other = voice(), voice(seed=1)
    expected = reference(tmp_path, sound)
    equal = heard(tmp_path, [sound, sound])
    assert np.allclose(equal.sound, expected[: len(equal.sound)], atol=2e-3)
    assert not equal.report
    assert rms(heard(tmp_path, [sound, other]).sound) == pytest.approx(rms(expected) / np.sqrt(2), rel=0.05)


def test_dialogue_in_the_centre_keeps_its_level(tmp_path):
    sound, zero = voice(), np.zeros(4 * RATE_HZ, np.float32)
    found = heard(tmp_path, [zero, zero, sound, zero, zero, zero], "5.1")
    assert rms(found.sound) == pytest.approx(rms(reference(tmp_path, sound)), rel=0.02)


def test_music_around_does_not_drown_the_centre(tmp_path):
    sound, music = voice(), [voice(seed=seed, level=0.03) for seed in range(1, 6)]
    channels = [music[0], music[1], sound, music[2], music[3], music[4]]
    found = heard(tmp_path, channels, "5.1")
    assert alike(found.sound, reference(tmp_path, sound)) > 0.95


def test_one_speaker_in_each_channel_is_reported(tmp_path):
    left, right = voice(12), voice(12, seed=1)
    turn = (np.arange(len(left)) // (2 * RATE_HZ)) % 2
    found = heard(tmp_path, [left * (turn == 0), right * (turn == 1)])
    assert found.said("each channel seems to hold another speaker")
    assert rms(found.sound[: 2 * 16_000]) > 0.5 * rms(reference(tmp_path, left))
    assert rms(found.sound[-2 * 16_000 :]) > 0.4 * rms(reference(tmp_path, left))
    assert not heard(tmp_path, [left, left]).said("another speaker")
    assert not heard(tmp_path, [left, 0.3 * left]).said("another speaker")


@pytest.mark.parametrize("offsets", [(0.1,), (-0.3,), (0.1, -0.1), (0.2, 0.0)])
def test_a_constant_offset_is_removed(tmp_path, offsets):
    sound = voice()
    found = heard(tmp_path, [sound + offset for offset in offsets], "mono" if len(offsets) == 1 else "stereo")
    expected = reference(tmp_path, sound)
    assert abs(found.sound.mean()) < 1e-3
    assert alike(found.sound, expected) > 0.995
    assert rms(found.sound) == pytest.approx(rms(expected), rel=0.03)
    assert found.said("constant offset")


def test_an_offset_hides_neither_silence_nor_cancelling(tmp_path):
    sound = voice()
    assert rms(heard(tmp_path, [sound + 0.2, np.full_like(sound, 0.2)]).sound) == pytest.approx(
        rms(reference(tmp_path, sound)), rel=0.05
    )
    assert heard(tmp_path, [sound + 0.2, 0.2 - sound]).said("cancel each other")


def test_sound_without_offset_is_left_as_it_is(tmp_path):
    sound = voice(rate_hz=16_000)
    path = write_sound(tmp_path / "a.wav", sound[None], 16_000, "mono", codec="pcm_f32le")
    assert np.array_equal(read(path).sound, sound[: len(read(path).sound)])


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("narrow", [True, False])
def test_narrow_band_is_told_by_content(tmp_path, rate_hz, narrow):
    spectrum = np.fft.rfft(voice(6, rate_hz=rate_hz))
    hz = np.fft.rfftfreq(6 * rate_hz, 1 / rate_hz)
    spectrum *= 1 / (1 + (hz / 800) ** 2)
    if narrow:
        spectrum[hz > 3_600] *= 1e-3
    sound = np.fft.irfft(spectrum).astype(np.float32)
    sound *= 0.3 / np.abs(sound).max()
    path = write_sound(tmp_path / "a.wav", sound[None], rate_hz, "mono", codec="pcm_s16le")
    assert read(path).said("above 4 kHz") == (narrow or rate_hz == 8_000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_samples_that_are_no_numbers(tmp_path, value):
    sound = voice()
    sound[30_000:30_100] = value
    found = heard(tmp_path, [sound], "mono")
    assert np.isfinite(found.sound).all()
    quiet = np.delete(found.sound, slice(9_000, 11_500))
    assert rms(quiet) == pytest.approx(rms(reference(tmp_path, voice())), rel=0.05)
    assert found.said("100 samples are not numbers")


@pytest.mark.parametrize(("run", "every"), [(1, 1000), (1, 100), (20, 2000)])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_few_bad_samples_are_interpolated(tmp_path, run, every, layout):
    at_s = np.arange(4 * RATE_HZ) / RATE_HZ
    clean = (0.3 * np.sin(2 * np.pi * 220 * at_s)).astype(np.float32)
    sound = clean.copy()
    sound[np.arange(len(sound)) % every < run] = np.nan
    found = heard(tmp_path, [sound] if layout == "mono" else [sound, clean], layout).sound
    assert rms(found - reference(tmp_path, clean)[: len(found)]) < 0.01


def test_long_runs_of_bad_samples_are_silent(tmp_path):
    sound = np.full(4 * RATE_HZ, 0.5, np.float32) * np.sign(voice())
    sound[RATE_HZ : 2 * RATE_HZ] = np.inf
    assert rms(heard(tmp_path, [sound], "mono").sound[17_000:31_000]) < 0.01


def test_levels_are_reported(tmp_path):
    assert heard(tmp_path, [np.zeros(RATE_HZ, np.float32)], "mono").said("digital silence")
    assert heard(tmp_path, [voice(level=0.001)], "mono").said("very quiet")
    assert heard(tmp_path, [np.clip(voice(level=2), -1, 1)], "mono").said("overdriven")


@pytest.mark.parametrize("seconds", [0.03, 0.15])
def test_very_short_sound_is_read(tmp_path, seconds):
    assert heard(tmp_path, [voice(seconds)], "mono").chunks


@pytest.mark.parametrize("layout", ["mono", "stereo", "3.0", "5.1", "7.1"])
@pytest.mark.parametrize("codec", ["pcm_s16le", "aac", "flac", "libopus"])
def test_layouts(tmp_path, layout, codec):
    sound = np.repeat(voice()[None], av.AudioLayout(layout).nb_channels, axis=0)
    found = read(write_sound(tmp_path / "a.mkv", sound, RATE_HZ, layout, codec=codec))
    assert rms(found.sound) == pytest.approx(rms(reference(tmp_path, voice())), rel=0.15)


def test_sixteen_channels(tmp_path):
    path = tmp_path / "a.wav"
    sound = np.repeat(voice()[None], 16, axis=0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=RATE_HZ)
        stream.layout = "hexadecagonal"
        for packet in encoded(stream, sound, RATE_HZ):
            out.mux(packet)
    assert rms(read(path).sound) == pytest.approx(rms(reference(tmp_path, voice())), rel=0.1)


def test_an_hour_of_voice_costs_no_memory(tmp_path):
    minute = Make(seconds=60, video=None, sample_rate=16_000).write(tmp_path / "minute.m4a")
    path = repeated(minute, tmp_path / "hour.m4a", 60)
    read_all(path, 1)  # the first reading loads libraries
    grown_mb = read_all(path, 60)
    assert grown_mb < 50


def repeated(source, path, times):
    with av.open(str(source)) as container, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(container.streams.audio[0])
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        length = sum(packet.duration for packet in packets)
        payloads = [(bytes(packet), packet.dts, packet.duration, packet.time_base) for packet in packets]
        for turn in range(times):
            for body, dts, duration, time_base in payloads:
                packet = av.Packet(body)
                packet.stream, packet.time_base, packet.duration = stream, time_base, duration
                packet.pts = packet.dts = dts - payloads[0][1] + turn * length
                out.mux(packet)
    return path


def read_all(path, least_minutes):
    """Growth of the process in MB while a file is read without keeping its units."""
    before, most, last_s = resident_mb(), 0.0, 0.0
    for unit in read_recording(open_recording(path), SystemClock(), 5.0, face=None, voice=VOICE):
        last_s = unit.end_s
        if round(unit.media_time_s * 10) % 600 == 0:
            most = max(most, resident_mb())
    assert last_s > least_minutes * 59
    return most - before


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
