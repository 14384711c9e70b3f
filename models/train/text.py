"""Fine-tunes MiniLM for sentiment, affect and emotions: `python -m models.train.text`.

About half an hour on one free core. Stopped, it goes on from its last checkpoint in `.cache/text`.

The committed weights are step 1800 of 1957: a run planned for 2 epochs was shortened to 1.4 at step 1600, and
stopped while its learning rate was at a twelfth of the peak.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.evaluate import text as evaluation
from models.evaluate.text_scores import Predict, TextOutputs, score_sst2
from models.export import PACK, record
from models.train.text_cache import BATCH, hidden_states
from models.train.text_calibration import fit_temperature, label_prior
from models.train.text_cases import assemble
from models.train.text_loop import train
from models.train.text_model import TextModel, load_tokenizer
from models.train.text_publish import NAME, publish_text
from sidecar.inference.manifest import Calibration

VERSION: Final = "1.0.0"
CACHE: Final = Path(__file__).parents[2] / ".cache" / "text"


def predictor(model: TextModel, tokenizer: Tokenizer) -> Predict:
    """The torch model as evaluation calls it."""

    @torch.no_grad()
    def predict(texts: Sequence[str]) -> TextOutputs:
        model.eval()
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts: list[tuple[Tensor, ...]] = []
        for start in range(0, len(order), BATCH):
            encoded = tokenizer.encode_batch([texts[i] for i in order[start : start + BATCH]])
            ids = torch.tensor([e.ids for e in encoded])
            parts.append(model(ids, torch.tensor([e.attention_mask for e in encoded]))[:3])
        back = np.argsort(order)
        return TextOutputs(*(torch.cat(column).numpy()[back] for column in zip(*parts, strict=True)))

    return predict


def main() -> None:
    """Train, calibrate on dev, and publish into the pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=float, default=1.4)
    parser.add_argument("--frozen-layers", type=int, default=3)
    parser.add_argument("--sst2-phrases", type=int, default=28_000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    tokenizer, model = load_tokenizer(), TextModel.pretrained(options.frozen_layers)
    cases = assemble("train", options.sst2_phrases)
    hidden = hidden_states(model, tokenizer, cases.texts, CACHE)
    checkpoint = CACHE / f"{options.epochs}-{options.frozen_layers}-{options.sst2_phrases}.pt"
    train(model, hidden, cases, options.epochs, checkpoint)
    finish(model, tokenizer, label_prior(cases))


def finish(model: TextModel, tokenizer: Tokenizer, prior: tuple[float, ...]) -> None:
    """Publish, then calibrate and score what was published, on the runtime that will run it."""
    table = publish_text(model, tokenizer, Calibration(prior=prior), VERSION)
    shipped = evaluation.predictor(evaluation.open_session(PACK / table.file), tokenizer)
    record(NAME, calibration=Calibration(temperature=round(fit_temperature(shipped), 4), prior=prior))
    figures = {**evaluation.evaluate(), "sst2_accuracy_fp32": score_sst2(predictor(model, tokenizer))["sst2_accuracy"]}
    record(NAME, metrics={key: round(value, 4) for key, value in figures.items()})


if __name__ == "__main__":
    main()
