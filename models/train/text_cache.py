"""Hidden states below the trained layers, computed once and kept on disk in half precision."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from models.train.checkpoints import fingerprint
from models.train.text_model import WIDTH, TextModel

BATCH = 64


@dataclass(frozen=True, slots=True)
class HiddenStates:
    """States of n texts, end to end: text i has rows `offsets[i]:offsets[i + 1]` of `rows` (tokens, 384) float16."""

    rows: NDArray[np.float16]
    offsets: NDArray[np.int64]  # (n + 1)

    def batch(self, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Hidden states (batch, tokens, 384) float32, zero padded, and their mask (batch, tokens) int64."""
        lengths = self.offsets[chosen + 1] - self.offsets[chosen]
        hidden = np.zeros((len(chosen), lengths.max(), WIDTH), np.float32)
        for i, (start, length) in enumerate(zip(self.offsets[chosen], lengths, strict=True)):
            hidden[i, :length] = self.rows[start : start + length]
        mask = np.arange(lengths.max()) < lengths[:, None]
        return torch.from_numpy(hidden), torch.from_numpy(mask.astype(np.int64))

    def shuffled_batches(self, random: np.random.Generator, texts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """`texts` (numbers, which may repeat) in random batches of like length, so that little is padded."""
        lengths = np.diff(self.offsets)[texts] + random.uniform(-2, 2, len(texts))
        order = texts[np.argsort(lengths)]
        batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        return [batches[i] for i in random.permutation(len(batches))]


def hidden_states(model: TextModel, tokenizer: Tokenizer, texts: Sequence[str], folder: Path) -> HiddenStates:
    """Run the frozen layers over `texts`, or take what an earlier run of the same network left in `folder`."""
    encoded = tokenizer.encode_batch_fast(list(texts))
    tokens = [[i for i, kept in zip(e.ids, e.attention_mask, strict=True) if kept] for e in encoded]
    offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in tokens])])
    ids = np.concatenate([np.array(each, np.int64) for each in tokens])
    key = fingerprint(model.embeddings, model.layers[: model.frozen_layers], ids, offsets)[:16]
    path = folder / f"hidden-{key}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        rows = np.lib.format.open_memmap(partial, "w+", np.float16, (int(offsets[-1]), WIDTH))
        for i, states in tqdm(_lower(model, tokens), total=len(tokens), desc="frozen layers"):
            rows[offsets[i] : offsets[i + 1]] = states
        rows.flush()
        partial.rename(path)
    return HiddenStates(np.load(path, mmap_mode="r"), offsets)


@torch.no_grad()
def _lower(model: TextModel, tokens: list[list[int]]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    model.eval()
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        longest = max(len(tokens[i]) for i in chosen)
        ids = torch.tensor([tokens[i] + [0] * (longest - len(tokens[i])) for i in chosen])
        mask = torch.tensor([[1] * len(tokens[i]) + [0] * (longest - len(tokens[i])) for i in chosen])
        for i, states in zip(chosen, model.lower(ids, mask).numpy(), strict=True):
            yield i, states[: len(tokens[i])]
