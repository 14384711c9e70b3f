"""Teaches the compact wav2vec2's front end what Whisper's stem hears: `python -m models.train.voice_distil`.

No labels are needed, so it may hear any speech; it gets the training speakers of RAVDESS and nEMO, half of it as a call
would carry it. Twenty minutes of one core, kept in `.cache/front-end`; `--resume` goes on from the last epoch.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.train.call_audio import degraded
from models.train.checkpoints import CheckpointMismatch
from models.train.loop import Schedule, TrainingDiverged, fit
from models.train.recipe import RecipeError
from models.train.voice_cases import VoiceCase, assemble, contents
from models.train.voice_windows import in_speech
from models.train.wav2vec2_compact import WaveformFrontEnd, stem
from models.train.whisper_encoder import SAMPLES, WhisperEncoder

OUT: Final = Path(__file__).parents[2] / ".cache" / "front-end"
SCHEDULE: Final = Schedule(epochs=16, peak_rate=2e-3, batch=32, weight_decay=0.01, warm_up=0.05, average=0.99)
CORPORA: Final = ("ravdess", "nemo")
PER_EPOCH: Final = 1280
"""Windows in an epoch."""
DEGRADED: Final = 0.5
"""Share of the windows that sound like a call."""


class DistilTask:
    """The front end towards the stem of a frozen encoder, by the mean square error of its 384 channels."""

    def __init__(
        self,
        model: WaveformFrontEnd,
        teacher: WhisperEncoder,
        training: Sequence[VoiceCase],
        validation: Sequence[VoiceCase],
        *,
        per_epoch: int = PER_EPOCH,
        batch: int = SCHEDULE.batch,
    ) -> None:
        self.model = model
        self._teacher = teacher
        self._training = training
        self._per_epoch, self._batch = per_epoch, batch
        self._held_out = torch.from_numpy(windows(validation, np.random.default_rng(0), 64))

    def groups(self) -> Sequence[Mapping[str, Any]]:
        """The filters begin where they should be and move at a tenth of the rate."""
        others = [value for name, value in self.model.named_parameters() if not name.startswith("filters")]
        return [{"params": others}, {"params": self.model.filters.parameters(), "scale": 0.1}]

    def __len__(self) -> int:
        return self._per_epoch // self._batch

    def batches(self, epoch: int) -> Iterator[Tensor]:
        """(batch, 48000) windows that no epoch repeats."""
        random = np.random.default_rng([1, epoch])
        for _ in range(len(self)):
            yield torch.from_numpy(windows(self._training, random, self._batch))

    def loss(self, batch: Tensor) -> Tensor:
        """In units of the stem's variance: 1 is to know nothing."""
        with torch.no_grad():
            wanted = stem(self._teacher, batch)
        return F.mse_loss(self.model(batch), wanted) / wanted.var()

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Share of the stem's variance that the front end explains, on speakers it has not heard."""
        self.model.eval()
        return {"explained": 1 - self.loss(self._held_out).item()}


def windows(
    cases: Sequence[VoiceCase], random: np.random.Generator, count: int
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(count, 48000) float32, drawn with repetition."""
    rows = np.zeros((count, SAMPLES), np.float32)
    for row in rows:
        clip = cases[int(random.integers(len(cases)))].clip
        samples = in_speech(clip, [clip], random)
        row[:] = degraded(samples, random) if random.random() < DEGRADED else samples
    return rows


def trained_front_end(out: Path = OUT) -> WaveformFrontEnd:
    """What `main` has left in `out`. Raises `RecipeError` that says what to run."""
    path = out / "front-end.pt"
    if not path.exists():
        raise RecipeError(f"{path} is missing: run python -m models.train.voice_distil first")
    front_end = WaveformFrontEnd()
    front_end.load_state_dict(torch.load(path, weights_only=True))
    return front_end.eval()


def main() -> None:
    """Train, report and keep the front end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the checkpoint, the curves and the weights")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(SCHEDULE.seed)
    material = assemble(CORPORA)
    task = DistilTask(WaveformFrontEnd(), WhisperEncoder.pretrained(0), material.train, material.valid)
    try:
        fit(task, SCHEDULE, options.out, resume=options.resume, made_from=(PER_EPOCH, DEGRADED, contents(material)))
    except (CheckpointMismatch, TrainingDiverged) as error:
        sys.exit(f"models.train.voice_distil: {error}")
    torch.save(task.model.state_dict(), options.out / "front-end.pt")
    print(task.validate())


if __name__ == "__main__":
    main()
