"""Small copies of the published layouts, each of which makes its own invented media and tables."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
import soundfile

TURN = "[{start:.4f} - {end:.4f}]\t{turn}\t{code}\t[{v:.4f}, {a:.4f}, {d:.4f}]\n"


def sound(path: Path, seconds: float = 0.1, rate_hz: int = 16_000, channels: int = 1, pitch_hz: float = 220) -> Path:
    """A tone, in every channel alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.3 * np.sin(2 * np.pi * pitch_hz * np.arange(int(seconds * rate_hz)) / rate_hz)
    soundfile.write(path, np.tile(wave[:, None], channels).astype(np.float32), rate_hz)
    return path


def picture(path: Path, width: int = 100, height: int = 100, value: int = 128) -> Path:
    """A grey picture, brighter from left to right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.clip(np.linspace(value - 40, value + 40, width), 0, 255).astype(np.uint8)
    rgb = np.broadcast_to(ramp[None, :, None], (height, width, 3))
    codec = "png" if path.suffix == ".png" else "mjpeg"
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream(codec, rate=1)
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24" if codec == "png" else "yuvj444p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")))
        container.mux(stream.encode())
    return path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def iemocap(root: Path) -> None:
    for session in range(1, 6):
        folder, dialog = root / f"Session{session}", f"Ses{session:02}F_impro01"
        turns = [(f"{dialog}_F000", "ang", 1.5), (f"{dialog}_M000", "exc", 4.0), (f"{dialog}_M001", "xxx", 3.0)]
        text = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        for turn, code, valence in turns:
            text += TURN.format(start=6.2, end=8.2, turn=turn, code=code, v=valence, a=4.0, d=3.0)
            text += "C-E2:\tAnger;\t()\nA-E3:\tval 2; act 4; dom  4;\t()\n\n"
            sound(folder / "sentences" / "wav" / dialog / f"{turn}.wav")
        write(folder / "dialog" / "EmoEvaluation" / f"{dialog}.txt", text)


def crema_d(root: Path) -> None:
    rows = ["ActorID,Age,Sex,Race,Ethnicity", "1001,51,Male,Caucasian,Not Hispanic"]
    rows += ["1002,21,Female,Asian,Not Hispanic", "1003,30,Female,African American,Not Hispanic"]
    write(root / "VideoDemographics.csv", "\n".join(rows) + "\n")
    clips = ["1001_IEO_HAP_LO", "1001_DFA_ANG_XX", "1002_IEO_SAD_HI", "1003_IEO_NEU_XX"]
    votes = ["N", "A", "N:S", "N"]
    table = '"","FileName","VoiceVote","VoiceLevel"\n'
    table += "".join(f'"{i}","{clip}","{vote}","50"\n' for i, (clip, vote) in enumerate(zip(clips, votes, strict=True)))
    write(root / "processedResults" / "summaryTable.csv", table)
    for clip in clips:
        sound(root / "AudioWAV" / f"{clip}.wav")


def msp_podcast(root: Path) -> None:
    rows = ["FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"]
    rows += ["MSP-PODCAST_0001_0008.wav,N,4.8,4.0,5.0,127,Male,Test1"]
    rows += ["MSP-PODCAST_0002_0033.wav,H,7.0,6.4,5.2,128,Female,Train"]
    rows += ["MSP-PODCAST_0002_0039.wav,X,4.0,1.0,4.0,128,Female,Train"]
    rows += ["MSP-PODCAST_0003_0001.wav,C,4.0,3.0,4.0,Unknown,Unknown,Development"]
    rows += ["MSP-PODCAST_0004_0001.wav,A,5.0,2.0,5.0,130,Male,Test2", "MSP-PODCAST_test3_0001.wav,,,,,,,Test3"]
    write(root / "Labels" / "labels_consensus.csv", "\n".join(rows) + "\n")
    for row in rows[1:-1]:
        sound(root / "Audios" / row.split(",")[0])


def cmu_mosei(root: Path) -> None:
    import h5py  # type: ignore[import-untyped]

    videos = {"aaa111": "train", "-bbb222": "valid", "ccc333": "test", "ddd444": None}
    with h5py.File(_parent(root / "CMU_MOSEI_Labels.csd"), "w") as file:
        data = file.create_group("All Labels/data")
        for video in videos:
            data.create_dataset(f"{video}/intervals", data=np.array([[-0.01, 1.0], [1.0, 2.0]]))
            ratings = [[1.5, 1.0, 0, 0, 0.5, 0, 0], [-3.0, 0, 0, 0, 0, 0, 0]]
            data.create_dataset(f"{video}/features", data=np.array(ratings, np.float32))
            sound(root / "Raw" / "Audio" / "Full" / "WAV_16000" / f"{video}.wav", 2.5)
    folds = {name: [video for video, split in videos.items() if split == name] for name in ("train", "valid", "test")}
    write(root / "cmu_mosei_std_folds.py", "".join(f"standard_{name}_fold = {ids!r}\n" for name, ids in folds.items()))


def affectnet(root: Path) -> None:
    for folder, numbers in (("train_set", (0, 7, 1)), ("val_set", (6,))):
        for i, number in enumerate(numbers):
            picture(root / folder / "images" / f"{i}.jpg", 224, 224)
            notes = root / folder / "annotations"
            notes.mkdir(exist_ok=True)
            np.save(notes / f"{i}_exp.npy", np.array(str(number)))
            np.save(notes / f"{i}_val.npy", np.array(str(-2 if i == 2 else 0.5)))
            np.save(notes / f"{i}_aro.npy", np.array(str(-2 if i == 2 else -0.25)))


def raf_db(root: Path) -> None:
    labels = {"train_00001": 5, "train_00002": 4, "test_0001": 1}
    write(root / "EmoLabel" / "list_patition_label.txt", "".join(f"{k}.jpg {v}\n" for k, v in labels.items()))
    for name in labels:
        picture(root / "Image" / "aligned" / f"{name}_aligned.jpg")
        notes = "10.5\t20.5\n" * 5 + "1\n2\n3\n"
        write(root / "Annotation" / "manual" / f"{name}_manu_attri.txt", notes)


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@dataclass(frozen=True, slots=True)
class Expected:
    """What a small copy must be read as, and how to spoil it."""

    build: Callable[[Path], None]
    bases: MappingProxyType[str, str | None]
    """Sample to the base emotion of its label, of some samples."""
    subjects: int
    """How many; 0 where the corpus names none."""
    splits: frozenset[str | None]
    spoil: str
    """A file or folder without which the corpus is half unpacked."""


def table(**bases: str | None) -> MappingProxyType[str, str | None]:
    return MappingProxyType(bases)


NONE: frozenset[str | None] = frozenset({None})
LAYOUTS = MappingProxyType(
    {
        "iemocap": Expected(
            iemocap,
            table(Ses01F_impro01_F000="anger", Ses04F_impro01_M000="happiness", Ses05F_impro01_M001=None),
            10,
            NONE,
            "Session4/sentences/wav/Ses04F_impro01/Ses04F_impro01_M000.wav",
        ),
        "crema-d": Expected(
            crema_d,
            MappingProxyType({"1001_IEO_HAP_LO": "happiness", "1002_IEO_SAD_HI": "sadness"}),
            3,
            NONE,
            "AudioWAV/1002_IEO_SAD_HI.wav",
        ),
        "msp-podcast": Expected(
            msp_podcast,
            MappingProxyType(
                {
                    "MSP-PODCAST_0002_0033.wav": "happiness",
                    "MSP-PODCAST_0003_0001.wav": "contempt",
                    "MSP-PODCAST_0002_0039.wav": None,
                }
            ),
            3,
            frozenset({"train", "valid", "test", "test2"}),
            "Audios/MSP-PODCAST_0002_0039.wav",
        ),
        "cmu-mosei": Expected(
            cmu_mosei,
            MappingProxyType({"aaa111[0]": "happiness", "-bbb222[1]": "neutral"}),
            3,
            frozenset({"train", "valid", "test"}),
            "Raw/Audio/Full/WAV_16000/-bbb222.wav",
        ),
        "affectnet": Expected(
            affectnet,
            MappingProxyType({"train-1": "contempt", "test-0": "anger"}),
            0,
            frozenset({"train", "test"}),
            "train_set/annotations/1_aro.npy",
        ),
        "raf-db": Expected(
            raf_db,
            table(train_00001="sadness", train_00002="happiness", test_0001="surprise"),
            0,
            frozenset({"train", "test"}),
            "Image/aligned/train_00002_aligned.jpg",
        ),
    }
)
