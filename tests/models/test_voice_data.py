"""The voice corpora as loaded, on the real files; the cases of training; and what makes a clip sound like a call."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.datasets import data_root, emodb, nemo, ravdess
from models.datasets.corpus import CorpusError
from models.train import call_audio, voice_cases
from models.train.voice_windows import as_recorded, in_a_call, in_another_voice, in_speech
from sidecar.types import EMOTIONS

needs_data = pytest.mark.skipif(
    not (data_root() / "voice").is_dir(), reason="the voice corpora are absent: set SIDECAR_DATA"
)


def tone(seconds: float, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 220 * np.arange(int(seconds * 16_000)) / 16_000)).astype(np.float32)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean()))


@needs_data
def test_ravdess_splits_share_no_actor() -> None:
    clips = {split: ravdess.load(split) for split in ("train", "valid", "test")}
    assert {split: len(found) for split, found in clips.items()} == {"train": 840, "valid": 180, "test": 180}
    speakers = {split: {clip.speaker for clip in found} for split, found in clips.items()}
    assert speakers["valid"] == {"15", "16", "17"}
    assert speakers["test"] == {"18", "19", "20"}
    assert not speakers["train"] & (speakers["valid"] | speakers["test"])
    assert {clip.emotion for clip in clips["test"]} == set(ravdess.LABELS)
    assert next(c.emotion for c in clips["train"] if c.path.stem == "03-01-05-01-01-01-01") == "angry"


@needs_data
def test_emodb_and_nemo_name_speakers_and_emotions() -> None:
    german, polish = emodb.load(), nemo.load()
    assert (len(german), len({clip.speaker for clip in german})) == (535, 10)
    assert sum(clip.emotion in emodb.FOUR for clip in german) == 339
    assert (len(polish), len({clip.speaker for clip in polish})) == (4481, 9)
    assert {clip.emotion for clip in polish} == set(nemo.LABELS)
    for clip in (german[0], polish[0]):
        samples = clip.samples()
        assert samples.dtype == np.float32
        assert 1.0 < len(samples) / 16_000 < 10.0
        assert 0.001 < rms(samples) < 0.5


@needs_data
def test_cases_keep_test_speakers_and_emodb_out_and_validation_apart() -> None:
    material = voice_cases.assemble(("ravdess", "nemo"))
    train, valid = material.train, material.valid
    speakers = [{(case.corpus, case.clip.speaker) for case in cases} for cases in (train, valid)]
    assert not speakers[0] & speakers[1]
    assert {corpus for corpus, _ in speakers[0] | speakers[1]} == {"ravdess", "nemo"}
    assert not {("ravdess", actor) for actor in ("18", "19", "20")} & (speakers[0] | speakers[1])
    assert len({case.clip.path for case in (*train, *valid)}) == 1020 + 4481


@needs_data
def test_weights_balance_corpora_and_emotions() -> None:
    cases = voice_cases.assemble(("ravdess", "nemo")).train
    weights = voice_cases.weights(cases)
    english = np.array([case.corpus == "ravdess" for case in cases])
    angry = np.array([case.labels == ("angry",) for case in cases])
    assert weights.mean() == pytest.approx(1, abs=1e-4)
    assert weights[english].sum() == pytest.approx(weights[~english].sum(), rel=1e-4)
    assert weights[english & angry].sum() == pytest.approx(weights[english].sum() / 8, rel=1e-4)
    assert weights[~english & angry].sum() == pytest.approx(weights[~english].sum() / 6, rel=1e-4)


@needs_data
def test_windows_are_cut_out_of_the_same_persons_speech() -> None:
    clips = ravdess.load("test")
    clip = clips[0]
    assert as_recorded(clip).shape == (48_000,)
    spoken = call_audio.spoken(clip.samples())
    assert 0.5 < len(spoken) / 16_000 < len(clip.samples()) / 16_000 - 0.5, "RAVDESS has a second of silence around"
    for seed in range(4):
        window = in_speech(clip, clips, np.random.default_rng(seed))
        assert window.shape == (48_000,)
        call = in_a_call(clip, clips, np.random.default_rng(seed))
        assert (call.shape, call.dtype) == ((48_000,), np.float32)
        assert np.isfinite(call).all()
        np.testing.assert_array_equal(call, in_a_call(clip, clips, np.random.default_rng(seed)))


def clips_of(root: Path, *classes: str, people: Sequence[str] = ("ann", "ben", "cy")) -> str:
    """A corpus of one's own: three people, two clips of each class by each."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for person, i in product(people, range(2)):
            noise = np.random.default_rng([number, i, *person.encode()]).normal(0, 0.02, 16_000)
            soundfile.write(root / name / f"{person}_{i}.wav", tone(1, 0.1 * (1 + number)) + noise, 16_000)
    return f"folder:{root}"


def test_a_folder_of_ones_own_teaches_its_own_emotions(tmp_path: Path) -> None:
    material = voice_cases.assemble((clips_of(tmp_path / "clips", "angry", "neutral"),))
    assert material.labels == ("neutral", "anger")
    assert {case.labels for case in material.train} == {("anger",), ("neutral",)}
    people = [{case.clip.speaker for case in cases} for cases in (material.train, material.valid)]
    assert people[0].isdisjoint(people[1])
    np.testing.assert_array_equal(voice_cases.targets(material.valid, material.labels).sum(1), 1)


@needs_data
def test_where_ravdess_learns_with_others_neutral_may_be_calm() -> None:
    material = voice_cases.assemble(("ravdess", "nemo"))
    assert material.labels == ravdess.LABELS
    assert set(material.to_base.values()) == set(EMOTIONS) - {"contempt"}
    said = {case.clip.emotion: case.labels for case in material.train if case.corpus == "nemo"}
    assert said["neutral"] == ("neutral", "calm")
    assert said["surprised"] == ("surprised",)


def test_a_class_without_clips_on_one_side_is_named(tmp_path: Path) -> None:
    reference = clips_of(tmp_path, "angry", "neutral")
    clips_of(tmp_path, "sad", people=("ann",))
    with pytest.raises(CorpusError, match=r"no clip of sadness in the (train|valid) split"):
        voice_cases.assemble((reference,))
    with pytest.raises(CorpusError, match="modality voice"):
        voice_cases.assemble(("ferplus",))


def test_centred_pads_and_cuts_equally() -> None:
    short = call_audio.centred(np.ones(16_001, np.float32))
    assert (len(short), np.flatnonzero(short)[0], np.count_nonzero(short)) == (48_000, 15_999, 16_001)
    ramp = np.arange(50_000, dtype=np.float32)
    np.testing.assert_array_equal(call_audio.centred(ramp), ramp[1000:49_000])


def test_spoken_drops_only_the_silence_around() -> None:
    silence = np.zeros(8000, np.float32)
    clip = np.concatenate([silence, tone(0.5), silence, tone(0.5), silence])
    assert len(call_audio.spoken(clip)) == pytest.approx(24_000, abs=640)
    assert len(call_audio.spoken(silence)) > 0


def test_a_live_window_is_filled_where_the_clips_suffice() -> None:
    windows = [call_audio.live_window([tone(2), tone(2)], np.random.default_rng(seed)) for seed in range(8)]
    assert all(np.abs(window).max() > 0.29 for window in windows)
    assert all(np.mean(window == 0) < 0.2 for window in windows)
    alone = call_audio.live_window([tone(1)], np.random.default_rng(0))
    assert len(alone) == 48_000
    assert rms(alone) == pytest.approx(rms(tone(1)) / np.sqrt(3), rel=0.01)


def test_degradations_do_what_they_say() -> None:
    random = np.random.default_rng(0)
    clean = tone(3)
    assert 20 * np.log10(rms(call_audio.at_level(clean, -26))) == pytest.approx(-26, abs=0.1)
    noise = call_audio.with_noise(clean, random) - clean
    assert 8 <= 20 * np.log10(rms(clean) / rms(noise)) <= 30
    low = np.sin(2 * np.pi * 60 * np.arange(48_000) / 16_000).astype(np.float32)
    assert rms(call_audio.band_limited(low, random)) < 0.01 * rms(low)
    click = np.zeros(48_000, np.float32)
    click[100] = 1
    assert rms(call_audio.in_a_room(click, random)[200:4000]) > 0


def pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / 16_000)[spectrum.argmax()])


@pytest.mark.parametrize("pace", [0.8, 1.0, 1.25])
def test_pace_changes_how_long_a_sentence_is_and_not_how_it_sounds(pace: float) -> None:
    heard = call_audio.at_pace(tone(3), pace)
    assert heard.dtype == np.float32
    assert len(heard) == pytest.approx(48_000 / pace, rel=0.02)
    assert pitch_hz(heard) == pytest.approx(220, abs=2)
    assert rms(heard[1600:-1600]) == pytest.approx(rms(tone(3)), rel=0.02), "the pieces join without a beat"


@pytest.mark.parametrize("steps", [-3, 0, 3])
def test_pitch_changes_how_a_sentence_sounds_and_not_how_long_it_is(steps: int) -> None:
    heard = call_audio.at_pitch(tone(3), steps)
    assert len(heard) == pytest.approx(48_000, rel=0.02)
    assert pitch_hz(heard) == pytest.approx(220 * (20 + steps) / 20, rel=0.02)


def test_lost_packets_come_in_bursts_and_fade() -> None:
    clean = np.random.default_rng(0).normal(0, 0.1, 160_123).astype(np.float32)
    heard = call_audio.with_losses(clean, np.random.default_rng(1))
    assert heard.shape == clean.shape
    lost = (heard != clean)[:160_000].reshape(-1, 320).all(1)
    assert 0.01 < lost.mean() < 0.25
    bursts = np.count_nonzero(lost[1:] & ~lost[:-1])
    assert 1.5 < lost.sum() / bursts < 6
    first = int(np.flatnonzero(lost)[0])
    np.testing.assert_array_equal(heard[first * 320 :][:320], 0.5 * clean[(first - 1) * 320 :][:320])


def test_another_voice_is_drawn_anew_and_fills_a_window(tmp_path: Path) -> None:
    clip = voice_cases.assemble((clips_of(tmp_path / "own", "angry", "sad"),)).train[0].clip
    heard = [in_another_voice(clip, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert heard[0].shape == (48_000,)
    np.testing.assert_array_equal(heard[0], heard[1])
    assert (heard[0] != heard[2]).any()


def test_opus_keeps_the_speech_in_place_and_is_not_lossless() -> None:
    clean = tone(3) * (np.sin(2 * np.pi * 3 * np.arange(48_000) / 16_000) > 0).astype(np.float32)
    heard = call_audio.through_opus(clean, 24_000)
    assert heard.shape == (48_000,)
    loudness = [np.sqrt(np.square(samples.reshape(-1, 160)).mean(1)) for samples in (clean, heard)]
    assert np.corrcoef(*loudness)[0, 1] > 0.95, "frames of 10 ms are as loud as before, at the same place"
    assert rms(heard - clean) > 1e-4
