"""Fine-tunes a text network from a Hugging Face checkpoint (DistilRoBERTa, ModernBERT, BERT) under the three heads."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from tokenizers import Tokenizer
from torch import Tensor, nn

from models.datasets.goemotions import LABELS
from models.train.hub import TOKENIZER, Checkpoint, CheckpointError, load_body
from models.train.hub_contract import TextEncoded, TextHeads
from models.train.loop import Schedule
from models.train.text_cases import GROUPS, TextCases
from models.train.text_losses import Affect, Targets, TextLoss, targets_of
from sidecar.types import Options

HEADS_SCALE: Final = 10.0
"""The fresh heads learn so many times as fast as the body."""

Batch = tuple[Tensor, Tensor, Targets]
"""`input_ids` and `attention_mask` (batch, tokens) int64, and what the texts aim at."""


class HubOptions(Options, frozen=True):
    """The `[options]` table of a recipe of architecture `hub`."""

    affect: Affect = "mse"
    """Towards which valence, arousal and dominance are drawn; see `TextLoss`."""
    max_tokens: int = 128
    sst2_phrases: int = 28_000


class TextTask:
    """Sentiment, affect and emotions from words, all of the network learning."""

    def __init__(
        self,
        model: TextHeads,
        tokenizer: Tokenizer,
        cases: Mapping[str, TextCases],
        schedule: Schedule,
        loss: TextLoss,
    ) -> None:
        """`cases` has the splits `train` and `dev`."""
        self.model = model
        self._tokenizer, self._cases = tokenizer, cases
        self._schedule, self._loss = schedule, loss

    def groups(self) -> Sequence[Mapping[str, Any]]:
        """The body, and the heads, which are new."""
        heads: list[nn.Parameter] = [
            parameter for name, parameter in self.model.named_parameters() if not name.startswith("body.")
        ]
        return [{"params": self.model.body.parameters()}, {"params": heads, "scale": HEADS_SCALE}]

    def __len__(self) -> int:
        return math.ceil(len(self._cases["train"].texts) / self._schedule.batch)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Every text once, those of like length together."""
        cases, random = self._cases["train"], np.random.default_rng((self._schedule.seed, epoch))
        lengths = np.array([len(text) for text in cases.texts]) + random.uniform(-8, 8, len(cases.texts))
        groups = np.array_split(np.argsort(lengths), len(self))
        for number in random.permutation(len(groups)):
            yield self._batch(cases, groups[number])

    def loss(self, batch: Batch) -> Tensor:
        """The joint loss of the three heads."""
        ids, mask, targets = batch
        return self._loss(self.model(ids, mask), targets)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """On dev: macro-F1 of the base emotions, accuracy of the sentiment."""
        cases = self._cases["dev"]
        self.model.eval()
        chunks = [
            np.arange(i, min(i + self._schedule.batch, len(cases.texts)))
            for i in range(0, len(cases.texts), self._schedule.batch)
        ]
        said: list[TextEncoded] = [self.model(*self._batch(cases, chunk)[:2]) for chunk in chunks]
        emotions = torch.cat([each.logits for each in said]).softmax(-1).numpy() @ GROUPS
        sentiment = torch.cat([each.sentiment for each in said]).numpy()
        felt, judged = cases.base.sum(1) > 0, cases.sentiment.sum(1) > 0
        macro_f1 = f1_score(cases.base[felt].argmax(1), emotions[felt].argmax(1), average="macro", zero_division=0)
        hits = sentiment[judged].argmax(1) == cases.sentiment[judged].argmax(1)
        return {"dev_macro_f1": float(macro_f1), "dev_sentiment": float(hits.mean())}

    def _batch(self, cases: TextCases, chosen: NDArray[np.int64]) -> Batch:
        encoded = self._tokenizer.encode_batch([cases.texts[i] for i in chosen])
        ids, masks = ([list(getattr(e, name)) for e in encoded] for name in ("ids", "attention_mask"))
        return torch.tensor(ids), torch.tensor(masks), targets_of(cases, chosen)


def build(checkpoint: Checkpoint, options: HubOptions) -> tuple[TextHeads, Tokenizer]:
    """The checkpoint's network under fresh heads, and its tokenizer. Raises `CheckpointError`."""
    return TextHeads(load_body(checkpoint), len(LABELS)), open_tokenizer(checkpoint, options.max_tokens)


def open_tokenizer(checkpoint: Checkpoint, max_tokens: int) -> Tokenizer:
    """`tokenizer.json` of the folder, cutting to `max_tokens` and padding on the right with the network's own padding.

    Raises `CheckpointError` where it is missing, or has more words than the network has embeddings.
    """
    path = checkpoint.folder / TOKENIZER
    try:
        # Parsed first: the tokenizers library raises nothing narrower than Exception.
        msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); download it with the checkpoint") from error
    tokenizer = Tokenizer.from_file(str(path))
    words, rows = tokenizer.get_vocab_size(), int(checkpoint.config.vocab_size)
    if words > rows:
        raise CheckpointError(
            f"{path}: {words} words for a network of {rows} (config.json, key 'vocab_size'); "
            "take both files from one revision"
        )
    padding = int(checkpoint.config.pad_token_id or 0)
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding(pad_id=padding, pad_token=tokenizer.id_to_token(padding) or "[PAD]")
    return tokenizer
