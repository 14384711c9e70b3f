"""What the frozen encoder makes of each clip, computed once and kept on disk.

A *view* is one way to cut 3 s out of a clip: view 0 is its middle as recorded; every other is cut out of continuous
speech of the same person in the same emotion and made to sound like a call, differently each time.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from models.export import to_onnx
from models.train.voice_cases import VoiceCase
from models.train.voice_windows import as_recorded, in_a_call
from models.train.whisper_encoder import SAMPLES, WhisperEncoder
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec, OutputSpec

CHUNK: Final = 100
REVISION: Final = 1
"""To be raised with every change of the encoder or of what a view does to a clip."""


def statistics_model(encoder: WhisperEncoder, entry: ModelSpec) -> OrtModel:
    """The encoder alone on ONNX Runtime, which is twice as fast as torch; `features` (batch, width) out."""
    spec = msgspec.structs.replace(entry, output=(OutputSpec(name="features", shape=("batch", "width"), units="none"),))
    sample = {"audio": torch.zeros(2, SAMPLES)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.onnx"
        onnx.save(to_onnx(encoder, sample, spec), path)
        return OrtModel(spec, path)


def features(model: OrtModel, cases: Sequence[VoiceCase], view: int, folder: Path) -> NDArray[np.float32]:
    """(cases, width) of one view; goes on where an earlier call was stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for start in tqdm(range(0, len(cases), CHUNK), desc=f"{cases[0].corpus}, view {view}", mininterval=10):
        chunk = cases[start : start + CHUNK]
        path = folder / f"{_key(chunk, view)}.npy"
        if not path.exists():
            partial = path.with_suffix(".partial.npy")
            np.save(partial, _chunk(model, chunk, cases, view))
            partial.rename(path)
        rows.append(np.load(path).astype(np.float32))
    return np.concatenate(rows)


def window(case: VoiceCase, cases: Sequence[VoiceCase], view: int) -> NDArray[np.float32]:
    """(48000,) float32: the view of one clip, the same at every call. `cases` are whom it may be joined with."""
    if view == 0:
        return as_recorded(case.clip)
    random = np.random.default_rng([view, *case.clip.path.name.encode()])
    return in_a_call(case.clip, [other.clip for other in cases], random)


def _chunk(model: OrtModel, chunk: Sequence[VoiceCase], cases: Sequence[VoiceCase], view: int) -> NDArray[np.float16]:
    rows = [model.run({"audio": window(case, cases, view)[None]})["features"] for case in chunk]
    return np.concatenate(rows).astype(np.float16)


def _key(cases: Sequence[VoiceCase], view: int) -> str:
    names = [case.clip.path.name for case in cases]
    return hashlib.sha256(repr((REVISION, view, names)).encode()).hexdigest()[:16]
