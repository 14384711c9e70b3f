"""What the shipped pack reads from recordings that failed for other programs, compared with the whole recording."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from tests.product.reading import analyse_file
from tests.sources.made import write_sound
from tests.sources.reading import read

CONSENT = "face,voice"


@dataclass(frozen=True)
class Readings:
    """Emotions of each modality by second."""

    seconds: tuple[int, ...]
    by_modality: Mapping[str, Mapping[int, np.ndarray]]

    def mean(self, modality, seconds):
        return np.mean([self.by_modality[modality][second] for second in seconds], axis=0)


@pytest.fixture(scope="session")
def cases(data_root):
    folder = data_root.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}")
    return folder


@pytest.fixture
def analyse(tmp_path):
    async def run(path):
        estimates = (await analyse_file(path, CONSENT, tmp_path)).data("estimate")
        found = {"face": {}, "voice": {}}
        for estimate in estimates:
            for modality, evidence in estimate["modalities"].items():
                found[modality][round(estimate["media_time_s"])] = np.array(list(evidence["emotions"].values()))
        return Readings(tuple(round(each["media_time_s"]) for each in estimates), found)

    return run


@pytest.fixture
async def reference(cases, analyse):
    if not _REFERENCE:
        _REFERENCE.append(await analyse(cases / "ref_small.mp4"))
    return _REFERENCE[0]


_REFERENCE: list[Readings] = []


def assert_alike(found, reference, modality, *, later_s=0, within=0.05):
    seconds = sorted(reference.by_modality[modality])
    shifted = [second + later_s for second in seconds]
    assert set(shifted) <= set(found.by_modality[modality])
    assert found.mean(modality, shifted) == pytest.approx(reference.mean(modality, seconds), abs=within)


@pytest.mark.parametrize(
    ("name", "modalities"),
    [
        ("one_bad_video_packet.mp4", ("face", "voice")),
        ("default_second_audio.mkv", ("face", "voice")),
        ("one_frame_30_days_on.flv", ("face", "voice")),
        ("offset_5000s.mkv", ("face", "voice")),
        ("raw_no_timestamps.h264", ("face",)),
        ("rate_change.mp3", ("voice",)),
        ("garbled_2_percent.mp4", ("face",)),
    ],
)
async def test_the_same_seconds_and_the_same_emotions(cases, analyse, reference, name, modalities):
    found = await analyse(cases / name)
    for modality in modalities:
        assert_alike(found, reference, modality)
    assert found.seconds[-1] == reference.seconds[-1]


async def test_a_late_voice_is_late(cases, analyse, reference):
    found = await analyse(cases / "late_audio.mkv")
    assert_alike(found, reference, "face")
    assert_alike(found, reference, "voice", later_s=3)
    assert found.seconds == tuple(range(1, 15))


async def test_a_garbled_voice_differs_only_where_it_is_garbled(cases, analyse, reference):
    """A loud word of the voice is among the lost packets, so that the windows over it differ."""
    found = await analyse(cases / "garbled_2_percent.mp4")
    assert sorted(found.by_modality["voice"]) == sorted(reference.by_modality["voice"])
    for second in (2, 3, 4):
        before = found.by_modality["voice"][second]
        assert before == pytest.approx(reference.by_modality["voice"][second], abs=0.01)


@cache
def plain(path: Path):
    """The sound of a file's first channel without its offset."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        channels = container.streams.audio[0].channels
        rate_hz = container.streams.audio[0].rate
    sound = np.concatenate([frame.reshape(-1, channels)[:, 0] for frame in frames])
    scale = float(2 ** (8 * sound.dtype.itemsize - 1)) if sound.dtype.kind == "i" else 1.0
    sound = sound.astype(np.float32) / np.float32(scale)
    return sound - np.float32(np.median(sound)), rate_hz


@pytest.mark.parametrize("name", ["phase_inverted.flac", "dc_offset_10_percent.flac"])
async def test_repaired_sound_is_read_like_sound_in_order(cases, analyse, tmp_path, name):
    sound, rate_hz = plain(cases / name)
    expected = await analyse(write_sound(tmp_path / "plain.wav", sound[None], rate_hz, "mono", codec="pcm_f32le"))
    found = await analyse(cases / name)
    assert_alike(found, expected, "voice")
    assert found.seconds == expected.seconds


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("garbled_2_percent.mp4", "damaged packets"),
        ("one_bad_video_packet.mp4", "1 damaged packet"),
        ("rate_change.mp3", "the format changes"),
        ("default_second_audio.mkv", "2 audio tracks"),
        ("one_frame_30_days_on.flv", "impossible time stamp"),
        ("phase_inverted.flac", "cancel each other"),
        ("dc_offset_10_percent.flac", "constant offset"),
    ],
)
def test_findings_are_reported(cases, name, sentence):
    assert read(cases / name).said(sentence)


@pytest.mark.parametrize("name", ["ref_small.mp4", "short_3s.mp4", "late_audio.mkv", "offset_5000s.mkv"])
def test_recordings_in_order_cause_no_complaint(cases, name):
    assert not read(cases / name).report
