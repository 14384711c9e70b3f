"""Trains the voice head on frozen Whisper statistics: `python -m models.train.voice`.

A quarter of an hour of one core for the statistics, which `.cache/voice` keeps, and two minutes for the head. RAVDESS
actors 01-14 and seven speakers of nEMO, scored on the others, show what it reaches and calibrate it; the published head
is then fitted anew with the validation speakers too (RAVDESS 01-17, all of nEMO), for as many epochs and under the same
temperature.
RAVDESS actors 18-20 and EmoDB are never trained on.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch

from models.train.voice_cases import VoiceCase, load, targets, weights
from models.train.voice_features import features, statistics_model
from models.train.voice_head import Examples, fit, recall, temperature
from models.train.voice_model import DEPTH, VoiceModel
from models.train.voice_publish import ENTRY, publish_voice
from models.train.whisper_encoder import WhisperEncoder
from sidecar.inference.local import OrtModel

CACHE: Final = Path(__file__).parents[2] / ".cache" / "voice"
VIEWS: Final = {"ravdess": ((0, 1, 2, 3),), "nemo": ((0, 2), (0, 1))}
"""The views that the clips of a corpus give, in turn: nEMO, which is four times as large, gives fewer."""


def main() -> None:
    """Statistics, validation, final fit, publication."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    encoder = WhisperEncoder.pretrained(DEPTH)
    model = statistics_model(encoder, ENTRY)
    training, validation = load("train"), load("valid")
    tried = fit(examples(model, training), options.epochs)
    for corpus in VIEWS:
        held_out = examples(model, [case for case in validation if case.corpus == corpus])
        print(f"{corpus}, validation speakers: UAR {recall(tried, held_out):.3f}")
    calibrated = temperature(tried, examples(model, validation))
    everybody = examples(model, training) + examples(model, validation)
    head = fit(everybody, options.epochs)
    publish_voice(VoiceModel(encoder, head), calibrated, everybody.prior())


def examples(model: OrtModel, cases: Sequence[VoiceCase]) -> Examples:
    """All views of the cases, balanced."""
    parts: list[tuple[Sequence[VoiceCase], int]] = []
    for corpus, turns in VIEWS.items():
        mine = [case for case in cases if case.corpus == corpus]
        parts += [(mine[i :: len(turns)], view) for i, views in enumerate(turns) for view in views]
    shown = [case for part, _ in parts for case in part]
    statistics = [features(model, part, view, CACHE) for part, view in parts if part]
    return Examples(np.concatenate(statistics), targets(shown), weights(shown))


if __name__ == "__main__":
    main()
