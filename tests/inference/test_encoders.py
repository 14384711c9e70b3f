"""The three encoders over random graphs of their true contracts, on the real runtime."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from sidecar.errors import Overloaded, PackError, PermitRevoked, UnsupportedLanguage
from sidecar.inference.batcher import Batcher, BatcherOptions
from sidecar.inference.collation import Padded
from sidecar.inference.face_vit import FaceVit
from sidecar.inference.language import LanguageIdentifier
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec
from sidecar.inference.pack import Pack, load_pack
from sidecar.inference.speech import SpeechEncoder
from sidecar.inference.text_sentiment import MAX_TOKENS, TextEncoder, sentiment_score
from sidecar.telemetry import Telemetry
from sidecar.types import AudioWindow, FaceCrop, Modality, Permit, TranscriptSegment
from tests.fakes.clock import VirtualClock
from tests.inference.graphs import FACE, LABELS, TEXT, VOICE, WIDTH, random_model, write_manifest

FACE_PERMIT, VOICE_PERMIT, TEXT_PERMIT = (Permit("ada", modality) for modality in Modality)


def crop(level: int, arrived_s: float = 1000.0) -> FaceCrop:
    return FaceCrop(np.full((48, 48), level, np.uint8), {}, 1.0, 1, 0.0, arrived_s, FACE_PERMIT)


def window(level: float) -> AudioWindow:
    return AudioWindow(np.full(48_000, level, np.float32), 0.0, 3.0, 1000.0, 3.0, 1.0, {}, VOICE_PERMIT)


def segment(text: str) -> TranscriptSegment:
    return TranscriptSegment("s", text, 0.0, 1000.0, TEXT_PERMIT)


class Rig:
    """A pack of three random encoders and batchers for them."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        (folder / "weights").mkdir()
        words = Tokenizer(models.WordLevel({"[UNK]": 0, "so": 1, "good": 2, "bad": 3}, unk_token="[UNK]"))
        words.normalizer = normalizers.Lowercase()
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        self.tokenizer = folder / "weights/words.json"
        words.save(str(self.tokenizer))
        digest = hashlib.sha256(self.tokenizer.read_bytes()).hexdigest()
        extra = {"name": "tokenizer", "file": "weights/words.json", "sha256": digest}
        write_manifest(
            folder,
            random_model(folder, "face", FACE),
            random_model(folder, "voice", VOICE),
            random_model(folder, "text", TEXT, files=[extra]),
        )
        self.pack: Pack = load_pack(folder, "research")
        self.clock = VirtualClock()
        self._stack = stack

    async def open(self, name: str, **collation: Any) -> tuple[ModelSpec, Batcher]:
        spec = self.pack.models[name]
        model = OrtModel(spec, self.pack.path(spec))
        batcher = Batcher(model, name, BatcherOptions(), self.clock, Telemetry(), **collation)
        return spec, await self._stack.enter_async_context(batcher)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        yield Rig(tmp_path, stack)


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier()


async def test_a_face(rig: Rig) -> None:
    encoder = FaceVit(*await rig.open("face"), max_age_s=1.0)
    dark, light = await asyncio.gather(encoder.encode(crop(10)), encoder.encode(crop(200)))
    assert dark.logits.shape == (len(LABELS),)
    assert dark.embedding.shape == (WIDTH,)
    assert not np.allclose(dark.logits, light.logits)
    assert dark.valence is dark.sentiment is None


async def test_a_late_crop_is_shed_and_a_recording_never(rig: Rig) -> None:
    spec, batcher = await rig.open("face")
    with pytest.raises(Overloaded):
        await FaceVit(spec, batcher, max_age_s=1.0).encode(crop(10, arrived_s=998.0))
    await FaceVit(spec, batcher, max_age_s=None).encode(crop(10, arrived_s=0.0))


async def test_a_voice(rig: Rig) -> None:
    encoder = SpeechEncoder(*await rig.open("voice"), max_age_s=None)
    output = await encoder.encode(window(0.5))
    assert output.logits.shape == (len(LABELS),)
    assert not np.allclose(output.logits, (await encoder.encode(window(-0.5))).logits)


async def test_words_of_any_length_in_one_batch_or_alone_score_alike(rig: Rig, identifier: LanguageIdentifier) -> None:
    """The random graph averages over its tokens, so the padding shows in its figures where it should not in a model's
    with a mask: the lengths here share one padded width."""
    spec, batcher = await rig.open("text", collation=Padded(multiple=16))
    encoder = TextEncoder(spec, rig.tokenizer, identifier, batcher, None)
    texts = ["So good", "so bad so bad", "good"]
    together = await asyncio.gather(*(encoder.encode(segment(text)) for text in texts))
    alone = [await encoder.encode(segment(text)) for text in texts]
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_allclose(ours.logits, theirs.logits, rtol=1e-4)
        assert ours.sentiment == pytest.approx(theirs.sentiment, abs=1e-4)
        assert ours.sentiment is not None
        assert -1 <= ours.sentiment <= 1
        assert ours.valence is not None
        assert -1 <= ours.valence <= 1
    assert len({output.sentiment for output in alone}) == 3


async def test_a_long_text_is_cut_before_it_costs(rig: Rig, identifier: LanguageIdentifier) -> None:
    spec, batcher = await rig.open("text", collation=Padded())
    seen: list[int] = []
    infer = batcher.infer

    async def watched(inputs: Any, permit: Permit, deadline_s: float | None = None) -> Any:
        seen.append(len(inputs["input_ids"]))
        return await infer(inputs, permit, deadline_s)

    batcher.infer = watched  # type: ignore[method-assign]
    encoder = TextEncoder(spec, rig.tokenizer, identifier, batcher, None)
    await encoder.encode(segment("so good " * 5000))
    await encoder.encode(segment("ok"))
    assert seen == [MAX_TOKENS, 1]


class WatchedIdentifier:
    """Takes every text for English, and remembers where it ran and what it was given."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.threads: list[threading.Thread] = []
        self.longest = 0
        self._meanwhile = meanwhile

    def identify(self, text: str) -> tuple[str, float]:
        self.threads.append(threading.current_thread())
        self.longest = max(self.longest, len(text))
        self._meanwhile()
        return "en", 1.0


async def test_language_and_tokens_are_not_worked_out_on_the_event_loop(rig: Rig) -> None:
    spec, batcher = await rig.open("text", collation=Padded())
    watched = WatchedIdentifier()
    encoder = TextEncoder(spec, rig.tokenizer, watched, batcher, None)
    await encoder.encode(segment("so good " * 2000))
    assert threading.main_thread() not in watched.threads
    assert watched.longest <= 16 * MAX_TOKENS, "what is cut off is not looked at"


async def test_words_whose_consent_ends_before_or_while_they_are_tokenised_reach_no_model(rig: Rig) -> None:
    spec, batcher = await rig.open("text", collation=Padded())
    unit = TranscriptSegment("s", "so good", 0.0, 1000.0, Permit("ada", Modality.TEXT))
    encoder = TextEncoder(spec, rig.tokenizer, WatchedIdentifier(unit.permit.revoke), batcher, None)
    with pytest.raises(PermitRevoked):
        await encoder.encode(unit)
    untouched = WatchedIdentifier()
    with pytest.raises(PermitRevoked):
        await TextEncoder(spec, rig.tokenizer, untouched, batcher, None).encode(unit)
    assert untouched.threads == []


async def test_a_foreign_language_is_refused_by_name(rig: Rig, identifier: LanguageIdentifier) -> None:
    spec, batcher = await rig.open("text", collation=Padded())
    encoder = TextEncoder(spec, rig.tokenizer, identifier, batcher, None)
    with pytest.raises(UnsupportedLanguage) as caught:
        await encoder.encode(segment("Das ist wirklich eine sehr schlechte Idee"))
    assert caught.value.language == "de"


@pytest.mark.parametrize("text", ["yeah", "ok", "Hmm.", "no no no", "What is up?", "12345", "Ross!", "", "🙂"])
def test_a_short_english_utterance_is_not_foreign(identifier: LanguageIdentifier, text: str) -> None:
    assert identifier.identify(text)[0] in {"en", "und"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("I think that this went rather well", "en"),
        ("Je suis tout à fait d'accord avec vous", "fr"),
        ("No entiendo nada de lo que dices", "es"),
        ("Zgadzam się z tobą", "pl"),
        ("Большое спасибо за помощь", "ru"),
        ("我同意你的看法", "zh"),
    ],
)
def test_a_plain_sentence_has_its_language(identifier: LanguageIdentifier, text: str, code: str) -> None:
    assert identifier.identify(text)[0] == code


async def test_a_revoked_permit_ends_an_encoding(rig: Rig) -> None:
    encoder = FaceVit(*await rig.open("face"), max_age_s=None)
    permit = Permit("bob", Modality.FACE)
    permit.revoke()
    with pytest.raises(PermitRevoked):
        await encoder.encode(FaceCrop(np.zeros((48, 48), np.uint8), {}, 1.0, 1, 0.0, 0.0, permit))


async def test_a_model_of_another_contract_is_refused(rig: Rig, identifier: LanguageIdentifier) -> None:
    spec, batcher = await rig.open("voice")
    with pytest.raises(PackError, match="is a voice encoder, not a face encoder"):
        FaceVit(spec, batcher, None)
    text, words = await rig.open("text")
    with pytest.raises(PackError, match=r"weights/text\.onnx: no tokenizer of model 'text'"):
        TextEncoder(text, rig.pack.path(text), identifier, words, None)


def test_sentiment_is_positive_less_negative() -> None:
    assert sentiment_score(np.array([0.0, 0.0])) == 0
    assert sentiment_score(np.array([-9.0, 9.0])) == pytest.approx(1, abs=1e-6)
    assert sentiment_score(np.array([9.0, 0.0, -9.0])) == pytest.approx(-1, abs=1e-3)
    assert sentiment_score(np.array([1.0, 50.0, 1.0])) == pytest.approx(0, abs=1e-6)
