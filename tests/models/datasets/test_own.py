"""What anyone can fill: a folder of clips or faces by class, and calls with spans."""

from pathlib import Path

import numpy as np
import pytest

from models.datasets.catalogue import load
from models.datasets.corpus import CorpusError
from models.datasets.media import UnreadableMedia, read_audio
from models.datasets.splits import partition
from sidecar.types import EMOTIONS

from .layouts import picture, sound, write


def clips(root: Path) -> Path:
    for person in ("ann", "ben", "cem", "dan"):
        sound(root / "angry" / f"{person}_1.wav", rate_hz=44_100, channels=2)
        sound(root / "neutral" / f"{person}_1.flac")
        sound(root / "bored" / f"{person}_1.wav")
    write(root / "labels.toml", 'bored = "neutral"\n')
    return root


def test_a_folder_of_clips_is_a_corpus(tmp_path: Path) -> None:
    corpus, samples = load(f"folder:{clips(tmp_path)}", "voice")
    assert corpus.labels == ("angry", "bored", "neutral")
    assert [corpus.base(sample) for sample in samples[3:6]] == ["anger", "neutral", "neutral"]
    assert {sample.subject for sample in samples} == {"ann", "ben", "cem", "dan"}
    assert [len(sample.audio()) for sample in samples[:6]] == pytest.approx([1600] * 6, abs=32)
    parts = partition(samples)
    assert [len({sample.subject for sample in part}) for part in parts.values()] == [2, 1, 1]


def test_a_table_says_who_is_who_and_what_is_held_out(tmp_path: Path) -> None:
    clips(tmp_path)
    write(tmp_path / "subjects.csv", "file,subject,split,gender\nangry/ann_1.wav,zoe,test,female\nben_1.flac,yan,,\n")
    _, samples = load(f"folder:{tmp_path}")
    by_name = {sample.name: sample for sample in samples}
    zoe = by_name["angry/ann_1.wav"]
    assert (zoe.subject, zoe.split, zoe.attributes) == ("zoe", "test", {"gender": "female"})
    assert (by_name["neutral/ben_1.flac"].subject, by_name["angry/ben_1.wav"].subject) == ("yan", "ben")
    assert partition(samples)["test"] == (zoe,)
    write(tmp_path / "subjects.csv", "file,subject\nangry/eve_1.wav,eve\n")
    with pytest.raises(CorpusError, match=r"names angry/eve_1\.wav"):
        load(f"folder:{tmp_path}")


def test_a_folder_of_faces_is_a_corpus(tmp_path: Path) -> None:
    picture(tmp_path / "happiness" / "ann_1.png", 120, 90)
    picture(tmp_path / "Sad" / "ben_1.jpg", 60, 90, value=60)
    corpus, samples = load(f"folder:{tmp_path}", "face")
    faces = [sample.luma() for sample in samples]
    assert [face.shape for face in faces] == [(48, 48)] * 2
    assert [face.mean() for face in faces] == pytest.approx([60, 128], abs=4)
    assert (np.diff(faces[1].astype(int).mean(0)) >= 0).all(), "the ramp from left to right is kept"
    assert {corpus.base(sample) for sample in samples} == {"happiness", "sadness"}
    shares = corpus.target(samples[0])
    assert shares is not None
    assert EMOTIONS[int(shares.argmax())] == "sadness"


def test_what_a_folder_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no folder"):
        load(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(CorpusError, match="two classes or more"):
        load(f"folder:{tmp_path}")
    clips(tmp_path)
    (tmp_path / "labels.toml").unlink()
    with pytest.raises(CorpusError, match=r"bored is no class.*labels\.toml"):
        load(f"folder:{tmp_path}")
    write(tmp_path / "labels.toml", 'bored = ""\n')
    corpus, samples = load(f"folder:{tmp_path}")
    assert (corpus.labels, len(samples)) == (("angry", "neutral"), 8)
    (tmp_path / "fear").mkdir()
    with pytest.raises(CorpusError, match=r"fear has no samples"):
        load(f"folder:{tmp_path}")
    with pytest.raises(CorpusError, match="no sample of fear"):
        corpus.require_classes(samples, ("angry", "fear"))


def test_too_few_people_cannot_be_split(tmp_path: Path) -> None:
    sound(tmp_path / "sad" / "ann_1.wav")
    sound(tmp_path / "happy" / "ann_2.wav")
    _, samples = load(f"folder:{tmp_path}")
    with pytest.raises(CorpusError, match=r"1 subjects cannot be split.*subjects\.csv"):
        partition(samples)


def test_a_file_that_is_no_sound_is_named(tmp_path: Path) -> None:
    write(tmp_path / "ann.mp3", "not sound")
    with pytest.raises(UnreadableMedia, match=r"ann\.mp3"):
        read_audio(tmp_path / "ann.mp3")
    with pytest.raises(UnreadableMedia, match="no sound from 5 to 6 s"):
        read_audio(sound(tmp_path / "short.wav", 1.0), (5, 6))


def test_stereo_at_another_rate_becomes_mono_at_sixteen_kilohertz(tmp_path: Path) -> None:
    stored = read_audio(sound(tmp_path / "stored.wav", 1.0))
    mixed = read_audio(sound(tmp_path / "mixed.wav", 1.0, rate_hz=48_000, channels=2))
    assert len(stored) == 16_000
    assert len(mixed) == pytest.approx(16_000, abs=32)
    assert np.corrcoef(stored[1000:15_000], mixed[1000:15_000])[0, 1] > 0.99
    part = read_audio(tmp_path / "mixed.wav", (0.25, 0.5))
    np.testing.assert_array_equal(part, mixed[4000:8000])


HEADER = "file,identity,start,end,label,consent\n"


def test_calls_are_spans_of_recordings(tmp_path: Path) -> None:
    sound(tmp_path / "ann.wav", 0.2)
    spans = 'ann.wav,ann,10,20,confused,"face,voice"\nann.wav,ann,0,10,engaged,voice\n'
    write(tmp_path / "spans.csv", HEADER + spans)
    corpus, samples = load(f"calls:{tmp_path}", "call")
    assert [(sample.label, sample.span_s, sample.subject) for sample in samples] == [
        ("engaged", (0, 10), "ann"),
        ("confused", (10, 20), "ann"),
    ]
    assert samples[1].attributes["consent"] == "face,voice"
    assert corpus.labels == ("engaged", "disengaged", "confused", "frustrated")


@pytest.mark.parametrize(
    ("spans", "complaint"),
    [
        ("ann.wav,ann,0,10,bored,voice\n", "line 2 is labelled 'bored'"),
        ("ann.wav,ann,10,5,engaged,voice\n", "must run forwards"),
        ("ann.wav,ann,x,5,engaged,voice\n", r"are seconds, such as 12\.5"),
        ("ann.wav,,0,5,engaged,voice\n", "no identity"),
        ("ann.wav,ann,0,5,engaged,voice\nann.wav,ann,4,9,confused,voice\n", "overlap"),
        ("ann.wav,ann,0,5,engaged,voice\nann.wav,ben,6,9,confused,voice\n", "is of ann and ben"),
        ("ann.wav,ann,0,5,engaged,voice\neve.mp4,eve,6,9,confused,voice\n", "half unpacked"),
        ("", "has no rows"),
    ],
)
def test_spans_that_make_no_sense_are_named(tmp_path: Path, spans: str, complaint: str) -> None:
    sound(tmp_path / "ann.wav")
    write(tmp_path / "spans.csv", HEADER + spans)
    with pytest.raises(CorpusError, match=complaint):
        load(f"calls:{tmp_path}")
