"""Sentiment, affect and emotion of a transcript segment."""

import asyncio
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from sidecar.errors import PackError, UnsupportedLanguage
from sidecar.inference.batcher import Batcher
from sidecar.inference.manifest import ModelSpec
from sidecar.inference.row import deadline, encoder_output, require
from sidecar.types import EncoderOutput, Modality, TranscriptSegment

MAX_TOKENS: Final = 128
_MAX_CHARACTERS: Final = 16 * MAX_TOKENS
"""More than this many characters cannot matter to the first 128 tokens of any text that people speak."""


class Identifier(Protocol):
    """Tells in what language a text is written."""

    def identify(self, text: str) -> tuple[str, float]:
        """ISO 639 code and probability; code `und` where the text does not say. Called from several threads."""
        ...


class TextEncoder:
    """Any text graph of the contract: `input_ids`, `attention_mask` int64 (batch, tokens) ->
    `sentiment` (2 or 3 logits from negative to positive), `vad`, `logits`, `embedding`."""

    def __init__(
        self, spec: ModelSpec, tokenizer: Path, identifier: Identifier, batcher: Batcher, max_age_s: float | None
    ) -> None:
        """Raises `PackError` where the tokenizer's file cannot be read."""
        require(spec, Modality.TEXT, {"input_ids", "attention_mask"})
        self._spec = spec
        self._identifier = identifier
        self._batcher = batcher
        self._max_age_s = max_age_s
        self._tokenizer = _tokenizer(spec, tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    async def encode(self, unit: TranscriptSegment) -> EncoderOutput:
        """Raises `UnsupportedLanguage` where the words are clearly in another language than the model's,
        `PermitRevoked`, and what the batcher raises."""
        unit.permit.check()
        inputs = await asyncio.to_thread(self._inputs, unit.text[:_MAX_CHARACTERS])
        row = await self._batcher.infer(inputs, unit.permit, deadline(unit.arrived_s, self._max_age_s))
        return encoder_output(row, sentiment=sentiment_score(row["sentiment"]) if "sentiment" in row else None)

    def _inputs(self, text: str) -> dict[str, NDArray[np.int64]]:
        """The graph's inputs, each (tokens,) int64. In a thread: a long segment takes a millisecond."""
        language, _ = self._identifier.identify(text)
        if language != "und" and language not in self._spec.languages:
            raise UnsupportedLanguage(language)
        tokens = self._tokenizer.encode(text)
        return {
            "input_ids": np.array(tokens.ids, dtype=np.int64),
            "attention_mask": np.array(tokens.attention_mask, dtype=np.int64),
        }


class _TokenizerFile(msgspec.Struct):
    """What tells a tokenizer's file from another JSON file."""

    version: str
    model: dict[str, Any]


def _tokenizer(spec: ModelSpec, path: Path) -> Tokenizer:
    try:
        text = path.read_bytes()
        msgspec.json.decode(text, type=_TokenizerFile)  # the tokenizers library raises nothing narrower than Exception
    except (OSError, msgspec.DecodeError) as error:
        raise PackError(f"{path}: no tokenizer of model {spec.name!r} ({error})") from error
    return Tokenizer.from_buffer(text)


def sentiment_score(logits: NDArray[Any]) -> float:
    """-1..1: the probability of the last class (positive) less that of the first (negative)."""
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    return float(probabilities[-1] - probabilities[0])
