"""Text recipes: what they read, what they refuse, and a checkpoint of the hub's layout fine-tuned into a pack."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModel, ModernBertConfig, RobertaConfig

from models.datasets.corpus import CorpusError
from models.datasets.goemotions import LABELS
from models.export import PACK, Examples, Validation
from models.train.hub import CheckpointError, open_checkpoint
from models.train.hub_contract import TextEncoded, TextHeads
from models.train.loop import Schedule, TrainingDiverged, fit
from models.train.losses import LossOptions
from models.train.recipe import Recipe, RecipeError, read_recipe
from models.train.text import MinilmOptions
from models.train.text_cases import TextCases, assemble
from models.train.text_hub import HubOptions, TextTask, build
from models.train.text_losses import Targets, TextLoss
from models.train.text_publish import entry_for, publish_text, without_others
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import read_manifest

WORDS = ("<pad>", "<s>", "</s>", "<unk>", "glad", "sad", "angry", "the", "day", "was")
TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 100}
CONFIGURATIONS = {
    "text-distilroberta": RobertaConfig(**TINY, max_position_embeddings=140, type_vocab_size=1, pad_token_id=1),
    "text-modernbert": ModernBertConfig(
        **TINY, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, local_attention=16
    ),
}
SCHEDULE = Schedule(epochs=4, peak_rate=1e-2, batch=3)


def random_checkpoint(folder: Path, recipe: str) -> Path:
    """A folder in the hub's layout with random weights of a tiny shape."""
    torch.manual_seed(0)
    folder.mkdir()
    config = CONFIGURATIONS[recipe]
    config.save_pretrained(folder)
    weights = AutoModel.from_config(config).state_dict()
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "model.safetensors")
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def cases() -> TextCases:
    """Texts whose words give the sentiment away, each base emotion once in seven."""
    texts = (
        "the day was glad",
        "sad",
        "the day was angry and sad",
        "glad glad",
        "was sad",
        "angry",
        "the glad day",
    ) * 3
    n = len(texts)
    sentiment = np.zeros((n, 3), np.float32)
    sentiment[np.arange(n), [2 if "glad" in text else 0 for text in texts]] = 1
    base = np.tile(np.eye(8, dtype=np.float32)[:7], (3, 1))
    return TextCases(
        texts,
        np.zeros((n, 28), np.float32),
        base,
        sentiment,
        np.full((n, 3), np.nan, np.float32),
        np.zeros(n, np.int64),
    )


def fine_tuned(folder: Path, name: str) -> tuple[TextHeads, Tokenizer, Recipe]:
    """What the recipe's network learns of the cases."""
    recipe = read_recipe(name, "text").told(None, str(random_checkpoint(folder / "checkpoint", name)))
    model, tokenizer = build(open_checkpoint(Path(recipe.checkpoint or "")), recipe.options_as(HubOptions))
    task = TextTask(model, tokenizer, {"train": cases(), "dev": cases()}, SCHEDULE, TextLoss(cases(), LossOptions()))
    history = fit(task, SCHEDULE, folder / "out")
    assert history[-1]["dev_sentiment"] > 0.9, "the words give it away"
    return model, tokenizer, recipe


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_random_checkpoint_is_fine_tuned(tmp_path, name):
    model, _, _ = fine_tuned(tmp_path, name)
    assert (tmp_path / "out" / "curves.png").exists()
    ids, mask = torch.tensor([[7, 8, 9, 4], [5, 0, 0, 0]]), torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0]])
    assert model(ids, mask).sentiment.argmax(1).tolist() == [2, 0]


@pytest.mark.recipe
def test_random_checkpoint_is_published_in_the_place_of_the_pack_s(tmp_path):
    model, tokenizer, recipe = fine_tuned(tmp_path, "text-distilroberta")
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "manifest.toml").write_bytes((PACK / "manifest.toml").read_bytes())
    ids = np.random.default_rng(0).integers(5, 90, (8, 6))
    some = Examples({"input_ids": ids, "attention_mask": np.ones_like(ids)}, batch=1)
    entry = publish_text(model, tokenizer, entry_for(recipe, model), Validation(some, ids[:, 0] % 28), pack)
    without_others(entry, pack)
    assert [spec.name for spec in read_manifest(pack) if spec.modality == "text"] == ["text-distilroberta"]
    said = OrtModel(entry, pack / entry.file).run(
        {"input_ids": np.array([[7, 8, 9, 4], [5, 0, 0, 0]]), "attention_mask": np.array([[1, 1, 1, 1], [1, 0, 0, 0]])}
    )
    assert said["sentiment"].argmax(1).tolist() == [2, 0]
    assert said["logits"].shape == (2, len(LABELS))


def test_a_tokenizer_that_is_not_the_network_s_is_refused(tmp_path):
    folder = random_checkpoint(tmp_path / "checkpoint", "text-distilroberta")
    words = {f"w{i}": i for i in range(101)}
    Tokenizer(models.WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: 101 words for a network of 100"):
        build(open_checkpoint(folder), HubOptions())
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: cannot be read .* download it with the checkpoint"):
        build(open_checkpoint(folder), HubOptions())


def test_an_emotion_without_a_text_is_named():
    some = cases()
    some.base[some.base[:, 5] == 1] = np.eye(8)[0]
    with pytest.raises(CorpusError, match=r"no text says disgust: add a corpus"):
        TextLoss(some, LossOptions())


def test_an_unknown_corpus_is_named():
    with pytest.raises(RecipeError, match=r"corpora friends are not known; there are goemotions, meld, emobank, sst2"):
        assemble("train", 10, ("meld", "friends"))


def test_a_loss_that_is_no_number_ends_the_training(tmp_path):
    folder = random_checkpoint(tmp_path / "checkpoint", "text-distilroberta")
    model, tokenizer = build(open_checkpoint(folder), HubOptions())
    torch.nn.init.constant_(model.emotion.weight, float("nan"))
    task = TextTask(model, tokenizer, {"train": cases(), "dev": cases()}, SCHEDULE, TextLoss(cases(), LossOptions()))
    with pytest.raises(TrainingDiverged, match="lower peak_rate"):
        fit(task, SCHEDULE, tmp_path / "out")


def test_recipes_are_read_and_a_key_amiss_is_named():
    recipe = read_recipe("text-minilm", "text")
    assert [stage.name for stage in recipe.options_as(MinilmOptions).stages] == ["general", "spoken"]
    assert recipe.corpora == ("goemotions", "meld", "emobank", "sst2")
    recipe.options["stages"][1]["rate"] = 0
    with pytest.raises(RecipeError, match=r"recipe text-minilm, table \[options\]: .*stages\[1\]\.rate"):
        recipe.options_as(MinilmOptions)
    odd = Recipe(modality="text", architecture="hub", corpora=(), options={"max_words": 5})
    with pytest.raises(RecipeError, match="max_words"):
        odd.options_as(HubOptions)


def test_each_term_counts_by_the_share_of_texts_that_have_its_target():
    loss = TextLoss(cases(), LossOptions(), "ccc")
    none = Targets(torch.zeros(4, 28), torch.zeros(4, 8), torch.zeros(4, 3), torch.full((4, 3), torch.nan))
    said = TextEncoded(torch.zeros(4, 3), torch.randn(4, 3), torch.zeros(4, 28), torch.zeros(4, 2))
    assert loss(said, none).item() == 0
    one = none._replace(sentiment=torch.eye(4, 3) * torch.tensor([[1], [0], [0], [0]]))
    assert loss(said, one).item() == pytest.approx(np.log(3) / 4)
