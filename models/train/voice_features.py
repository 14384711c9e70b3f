"""What a frozen encoder makes of each clip, computed once and kept on disk.

A *view* is one way to cut 3 s out of a clip: view 0 is its middle as recorded; views 1 to 3 are cut out of continuous
speech of the same person in the same emotion and made to sound like a call, differently each time; all others are its
middle in another voice.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from models.export import UNKNOWN_SHA256, to_onnx
from models.train.voice_cases import VoiceCase, targets, weights
from models.train.voice_head import Examples
from models.train.voice_windows import as_recorded, in_a_call, in_another_voice
from models.train.whisper_encoder import SAMPLES
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import InputSpec, ModelSpec, OutputSpec
from sidecar.types import Modality

CACHE: Final = Path(__file__).parents[2] / ".cache" / "voice"
CHUNK: Final = 100
REVISION: Final = 2
"""To be raised with every change of the Whisper encoder or of what a view does to a clip."""
VIEWS: Final = {"nemo": ((0, 2), (0, 1)), "ased": ((0,), (1,)), "emospeech": ((0,), (1,))}
"""The views that the clips of a large corpus give, in turn."""
ALL_VIEWS: Final = ((0, 1, 2, 3),)
"""Those of any other."""
OTHER_VOICES: Final = 4
"""The first view in another voice."""


class Statistics:
    """A frozen encoder's pooled statistics of clips, and where they are kept.

    It runs on ONNX Runtime, which is twice as fast as torch, and is exported when the first clip is not on disk.
    """

    def __init__(self, encoder: nn.Module, name: str, folder: Path = CACHE) -> None:
        """`encoder`: (batch, 48000) -> (batch, width); `folder` belongs to it and to no other."""
        self._encoder, self._name, self._folder = encoder, name, folder
        self._model: OrtModel | None = None

    def examples(
        self, cases: Sequence[VoiceCase], labels: Sequence[str], *, recorded: bool = False, other_voices: int = 0
    ) -> Examples:
        """All views of the cases, or only as `recorded`, and each in so many `other_voices`; balanced."""
        parts: list[tuple[Sequence[VoiceCase], int]] = []
        for corpus in dict.fromkeys(case.corpus for case in cases):
            mine = [case for case in cases if case.corpus == corpus]
            turns = ((0,),) if recorded else VIEWS.get(corpus, ALL_VIEWS)
            parts += [(mine[i :: len(turns)], view) for i, views in enumerate(turns) for view in views]
            parts += [(mine, OTHER_VOICES + number) for number in range(other_voices)]
        shown = [case for part, _ in parts for case in part]
        return Examples(
            np.concatenate([self.features(part, view) for part, view in parts if part]),
            targets(shown, labels),
            weights(shown),
            np.array([f"{case.corpus} {case.clip.speaker}" for case in shown]),
            np.array([case.corpus for case in shown]),
        )

    def features(self, cases: Sequence[VoiceCase], view: int) -> NDArray[np.float32]:
        """(cases, width) of one view; goes on where an earlier call was stopped."""
        self._folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for start in tqdm(range(0, len(cases), CHUNK), desc=f"{cases[0].corpus}, view {view}", mininterval=10):
            chunk = cases[start : start + CHUNK]
            path = self._folder / f"{_key(chunk, view)}.npy"
            if not path.exists():
                partial = path.with_suffix(".partial.npy")
                np.save(partial, self._chunk(chunk, cases, view))
                partial.rename(path)
            rows.append(np.load(path).astype(np.float32))
        return np.concatenate(rows)

    def _chunk(self, chunk: Sequence[VoiceCase], cases: Sequence[VoiceCase], view: int) -> NDArray[np.float16]:
        self._model = model = self._model or exported(self._encoder, self._name)
        rows = [model.run({"audio": window(case, cases, view)[None]})["features"] for case in chunk]
        return np.concatenate(rows).astype(np.float16)


def exported(encoder: nn.Module, name: str) -> OrtModel:
    """`audio` (batch, 48000) in, `features` (batch, width) out."""
    spec = ModelSpec(
        name=name,
        version="0",
        modality=Modality.VOICE,
        role="encoder",
        file="encoder.onnx",
        sha256=UNKNOWN_SHA256,
        source="repository",
        recipe="",
        licence="",
        commercial=False,
        trained_on=(),
        input=(InputSpec(name="audio", shape=("batch", SAMPLES), type="float32", units="16 kHz mono, -1..1"),),
        output=(OutputSpec(name="features", shape=("batch", "width"), units="none"),),
        preprocess="",
    )
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / spec.file
        onnx.save(to_onnx(encoder, {"audio": torch.zeros(2, SAMPLES)}, spec), path)
        return OrtModel(spec, path)


def window(case: VoiceCase, cases: Sequence[VoiceCase], view: int) -> NDArray[np.float32]:
    """(48000,) float32: the view of one clip, the same at every call. `cases` are whom it may be joined with."""
    if view == 0:
        return as_recorded(case.clip)
    random = np.random.default_rng([view, *case.clip.path.name.encode()])
    if view >= OTHER_VOICES:
        return in_another_voice(case.clip, random)
    return in_a_call(case.clip, [other.clip for other in cases], random)


def _key(cases: Sequence[VoiceCase], view: int) -> str:
    """Of published corpora by the names of the clips; of one's own by place and time too, since names may repeat."""
    names = [
        repr((case.clip.path.as_posix(), case.clip.path.stat().st_mtime_ns))
        if case.corpus == "folder"
        else case.clip.path.name
        for case in cases
    ]
    return hashlib.sha256(repr((REVISION, view, names)).encode()).hexdigest()[:16]
