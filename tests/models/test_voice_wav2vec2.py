"""Checkpoints of the wav2vec2 architecture under the voice contract: the real classes, tiny, with random weights."""

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
transformers = pytest.importorskip("transformers", reason="needs the extra `train`")

from models.train.wav2vec2 import load_checkpoint, main  # noqa: E402
from sidecar.inference.local import OrtModel  # noqa: E402
from sidecar.inference.pack import load_pack  # noqa: E402

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 24,
    "id2label": {0: "ang", 1: "hap", 2: "neu", 3: "sad"},
    "label2id": {"ang": 0, "hap": 1, "neu": 2, "sad": 3},
}
AUDIO = np.random.default_rng(0).normal(0.05, 0.1, (3, 48_000)).astype(np.float32)


def random_checkpoint(folder: Path, family: str, weighted: bool) -> "transformers.PreTrainedModel":
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SMALL, use_weighted_layer_sum=weighted)
    model = getattr(transformers, f"{family}ForSequenceClassification")(config).eval()
    if weighted:
        torch.nn.init.normal_(model.layer_weights)
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return model


@pytest.mark.filterwarnings("ignore")  # of the exporter's own libraries
@pytest.mark.parametrize(("family", "weighted"), [("Wav2Vec2", False), ("Wav2Vec2", True), ("Hubert", False)])
def test_a_random_checkpoint_published_by_the_command_says_what_transformers_says(
    family: str, weighted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, pack = tmp_path / "checkpoint", tmp_path / "pack"
    pack.mkdir()
    original = random_checkpoint(checkpoint, family, weighted)
    command = f"wav2vec2 {checkpoint} --name random-{family.lower()} --licence none --precision fp32 --pack {pack}"
    monkeypatch.setattr(sys, "argv", [*command.split(), "--map", "ang=anger,hap=happiness,neu=neutral,sad=sadness"])
    main()

    (spec,) = load_pack(pack, "research").models.values()
    said = OrtModel(spec, pack / spec.file).run({"audio": AUDIO})
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    values = extractor(list(AUDIO), sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        expected = original(values).logits.numpy()
    assert spec.labels == ("ang", "hap", "neu", "sad")
    np.testing.assert_allclose(said["logits"], expected, atol=1e-3)
    assert said["embedding"].shape == (3, 24)
    assert np.ptp(said["logits"], axis=0).min() > 1e-5, "the logits follow the audio"


def test_a_random_checkpoint_for_another_rate_is_refused(tmp_path: Path) -> None:
    random_checkpoint(tmp_path, "Wav2Vec2", weighted=False)
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=8_000).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="8000 Hz"):
        load_checkpoint(str(tmp_path))
