"""The text model's torch side: its two halves, its cache, its loop. Random weights throughout."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel

from models.evaluate.text_scores import TextOutputs
from models.train import text
from models.train.checkpoints import CheckpointMismatch
from models.train.losses import LossOptions
from models.train.recipe import Recipe, RecipeError
from models.train.text_cache import HiddenStates, hidden_states
from models.train.text_calibration import label_prior
from models.train.text_cases import CORPORA, TextCases
from models.train.text_loop import Material, Stage, epochs_of, train
from models.train.text_losses import TextLoss
from models.train.text_model import TextModel

WORDS = ("[PAD]", "good", "bad", "the", "film", "was", "is")
TEXTS = ("the film was good", "bad", "is the film bad", "good good film") * 10


def random_bert() -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(WORDS), hidden_size=384, num_hidden_layers=2, num_attention_heads=4)
    config.intermediate_size = 64
    return BertModel(config, add_pooling_layer=False).eval()


def word_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[PAD]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    return tokenizer


def cases() -> TextCases:
    n, good = len(TEXTS), np.array(["good" in text for text in TEXTS])
    sentiment = np.zeros((n, 3), np.float32)
    sentiment[np.arange(n), np.where(good, 2, 0)] = 1
    native, base = np.zeros((n, 28), np.float32), np.zeros((n, 8), np.float32)
    native[:, 27] = base[:, 0] = 1
    base[:7] = np.eye(8)[:7]  # each emotion that the labels can express, once
    native[:7] = 0
    return TextCases(TEXTS, native, base, sentiment, np.full((n, 3), np.nan, np.float32), np.zeros(n, np.int64))


def material(states: HiddenStates) -> Material:
    return Material(states, cases(), TextLoss(cases(), LossOptions()))


def quiet(_: TextModel) -> dict[str, float]:
    return {}


STAGE = Stage(name="all", epochs=30, rate=2e-4, repeat={"goemotions": 1})


def test_random_weights_both_halves_compute_what_bert_computes():
    bert = random_bert()
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    with torch.no_grad():
        expected = bert(ids, mask).last_hidden_state
        _, _, _, embedding = TextModel(bert, frozen_layers=1).eval()(ids, mask)
    torch.testing.assert_close(embedding[0], expected[0].mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(embedding[1], expected[1, :2].mean(0), atol=1e-5, rtol=0)


def test_random_weights_cached_states_give_the_same_outputs(tmp_path: Path):
    model, tokenizer = TextModel(random_bert(), frozen_layers=1).eval(), word_tokenizer()
    states = hidden_states(model, tokenizer, TEXTS, tmp_path)
    chosen = np.array([1, 0, 3])
    encoded = tokenizer.encode_batch([TEXTS[i] for i in chosen])
    ids, mask = torch.tensor([e.ids for e in encoded]), torch.tensor([e.attention_mask for e in encoded])
    with torch.no_grad():
        cached, direct = model.upper(*states.batch(chosen)), model(ids, mask)
    for one, other in zip(cached, direct, strict=True):
        torch.testing.assert_close(one, other, atol=5e-3, rtol=0)  # half precision
    again = hidden_states(model, tokenizer, TEXTS, tmp_path)
    np.testing.assert_array_equal(again.rows, states.rows)
    assert len(list(tmp_path.iterdir())) == 1


def test_batches_hold_every_text_once():
    states = HiddenStates(np.zeros((0, 384), np.float16), np.arange(0, 1001, 5))
    batches = states.shuffled_batches(np.random.default_rng(0), np.arange(200))
    assert sorted(np.concatenate(batches)) == list(range(200))


def test_a_stage_shows_each_corpus_as_often_as_it_says():
    states = HiddenStates(np.zeros((0, 384), np.float16), np.arange(0, 5 * len(TEXTS) + 1, 5))
    some = cases()
    some.corpus[:10] = CORPORA.index("meld")
    stage = Stage(name="spoken", epochs=1, rate=1e-4, repeat={"meld": 2, "goemotions": 0.5})
    seen = np.bincount(np.concatenate(epochs_of(stage, states, some)), minlength=len(TEXTS))
    assert (seen[:10] == 2).all()
    assert sorted(seen[10:]) == [0] * 15 + [1] * 15
    with pytest.raises(RecipeError, match=r"'odd' repeats \['meldd'\]; known are goemotions, meld"):
        epochs_of(Stage(name="odd", epochs=1, rate=1e-4, repeat={"meldd": 1}), states, some)


def test_random_weights_the_loop_learns_leaves_the_lower_half_alone_and_resumes(tmp_path: Path):
    model, tokenizer = TextModel(random_bert(), frozen_layers=1), word_tokenizer()
    frozen = model.layers[0].output.dense.weight.clone()
    states = hidden_states(model, tokenizer, TEXTS, tmp_path)
    checkpoint = tmp_path / "checkpoint.pt"
    train(model, material(states), STAGE, checkpoint, quiet, made_from="a")
    with torch.no_grad():
        sentiment = model.eval().upper(*states.batch(np.array([0, 1])))[0]
    assert sentiment.argmax(1).tolist() == [2, 0]
    assert torch.equal(model.layers[0].output.dense.weight, frozen)

    fresh = TextModel(random_bert(), frozen_layers=1)
    train(fresh, material(states), STAGE, checkpoint, quiet, made_from="a", resume=True)
    assert torch.equal(fresh.sentiment.weight, model.sentiment.weight), "nothing was left to do"

    with pytest.raises(CheckpointMismatch, match="another recipe, corpus or starting point"):
        train(fresh, material(states), STAGE, checkpoint, quiet, made_from="b", resume=True)
    shorter = msgspec.structs.replace(STAGE, epochs=0.5)
    again = TextModel(random_bert(), frozen_layers=1)
    train(again, material(states), shorter, checkpoint, quiet, made_from="b")
    assert not torch.equal(again.sentiment.weight, model.sentiment.weight), "without resume it begins again"


def test_random_weights_a_changed_recipe_is_never_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def pretrained(frozen_layers: int) -> TextModel:
        return TextModel(random_bert(), frozen_layers)

    monkeypatch.setattr(text.TextModel, "pretrained", pretrained)
    monkeypatch.setattr(text, "load_tokenizer", word_tokenizer)
    monkeypatch.setattr(text, "assemble", lambda *_: cases())
    monkeypatch.setattr(text, "_watch", lambda _: quiet)

    def trained(rate: float, *, resume: bool) -> torch.Tensor:
        stages = [{"name": each, "epochs": 3, "rate": rate, "repeat": {"goemotions": 1}} for each in ("a", "b")]
        options = {"stages": stages, "frozen_layers": 1}
        recipe = Recipe(modality="text", architecture="minilm", corpora=("goemotions",), name="tiny", options=options)
        torch.manual_seed(0)
        return text.train_minilm(recipe, tmp_path, resume=resume).model.sentiment.weight

    first = trained(2e-4, resume=False)
    assert torch.equal(trained(2e-4, resume=True), first)
    with pytest.raises(CheckpointMismatch, match="without --resume"):
        trained(5e-4, resume=True)
    assert not torch.equal(trained(5e-4, resume=False), first)


def test_random_weights_hidden_states_of_other_weights_are_computed_again(tmp_path: Path):
    tokenizer, model = word_tokenizer(), TextModel(random_bert(), frozen_layers=1)
    before = hidden_states(model, tokenizer, TEXTS, tmp_path).rows
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.mul_(2)
    assert not np.array_equal(hidden_states(model, tokenizer, TEXTS, tmp_path).rows, before)


def test_prior_is_a_distribution_over_the_labels():
    some = cases()
    some.native[:], some.base[:] = np.eye(28)[27], np.eye(8)[0]
    some.native[:5] = 0
    some.native[:5, 14] = 1  # fear
    some.base[:5] = 0
    some.base[:5, 6] = 1
    repeat = np.ones(len(TEXTS))
    prior = label_prior(some, repeat)
    assert sum(prior) == pytest.approx(1)
    assert prior[14] == pytest.approx(5 / 40)
    repeat[:5] = 3
    assert label_prior(some, repeat)[14] == pytest.approx(15 / 50)


def test_temperature_flattens_and_contempt_is_never_said():
    outputs = TextOutputs(np.zeros((1, 3)), np.zeros((1, 3)), np.eye(1, 28, 2, dtype=np.float32) * 5)
    sharp, flat = outputs.emotions(1.0)[0], outputs.emotions(4.0)[0]
    assert sharp.argmax() == 4, "anger"
    assert sharp[4] > flat[4]
    assert sharp[7] == flat[7] == 0
    assert sharp.sum() == pytest.approx(1)
