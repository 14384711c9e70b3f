"""The wav2vec2 family behind the voice contract: the real architecture, tiny, with random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from models.export import publish
from sidecar.inference.batcher import Batcher, BatcherOptions
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import InputSpec, ModelSpec, OutputSpec
from sidecar.inference.speech import SpeechEncoder
from sidecar.telemetry import Telemetry
from sidecar.types import AudioWindow, Modality, Permit
from tests.fakes.clock import VirtualClock

LABELS = ("ang", "hap", "neu", "sad")


class Wav2Vec2Head(torch.nn.Module):  # type: ignore[misc]
    """What an exported checkpoint is: the feature extractor's normalisation, the network, pooling and a head."""

    def __init__(self) -> None:
        super().__init__()
        config = transformers.Wav2Vec2Config(
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=48,
            conv_dim=(16,) * 7,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
            attn_implementation="eager",
        )
        self.network = transformers.Wav2Vec2Model(config)
        self.head = torch.nn.Linear(32, len(LABELS))

    def forward(self, audio: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        centred = audio - audio.mean(dim=1, keepdim=True)
        scaled = centred / torch.sqrt(centred.square().mean(dim=1, keepdim=True) + 1e-7)
        embedding = self.network(scaled).last_hidden_state.mean(dim=1)
        return self.head(embedding), embedding


@pytest.fixture(scope="module")
def random_wav2vec2() -> "torch.nn.Module":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return Wav2Vec2Head().eval()


@pytest.mark.filterwarnings("ignore")  # of the exporter's own libraries
async def test_a_random_wav2vec2_runs_behind_the_voice_contract(
    random_wav2vec2: "torch.nn.Module", tmp_path: Path
) -> None:
    entry = ModelSpec(
        name="random-wav2vec2",
        version="0",
        modality=Modality.VOICE,
        role="encoder",
        file="weights/random.onnx",
        sha256="0" * 64,
        source="repository",
        recipe="none",
        licence="Apache-2.0",
        commercial=True,
        trained_on=(),
        input=(InputSpec("audio", ("batch", 48_000), "float32", "-1..1"),),
        output=(OutputSpec("logits", ("batch", 4), "logits"), OutputSpec("embedding", ("batch", 32), "none")),
        preprocess="none",
        labels=LABELS,
        map={"ang": "anger", "hap": "happiness", "neu": "neutral", "sad": "sadness"},
    )
    (tmp_path / "manifest.toml").write_text("", "utf-8")
    spec = publish(random_wav2vec2, {"audio": torch.randn(2, 48_000)}, entry, pack=tmp_path)
    samples = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    window = AudioWindow(samples, 0.0, 3.0, 0.0, 3.0, 1.0, {}, Permit("ada", Modality.VOICE))
    model = OrtModel(spec, tmp_path / spec.file)
    async with Batcher(model, spec.name, BatcherOptions(), VirtualClock(), Telemetry()) as batcher:
        output = await SpeechEncoder(spec, batcher, max_age_s=None).encode(window)
    with torch.inference_mode():
        logits, embedding = random_wav2vec2(torch.from_numpy(samples)[None])
    np.testing.assert_allclose(output.logits, logits[0].numpy(), atol=1e-3)
    np.testing.assert_allclose(output.embedding, embedding[0].numpy(), atol=1e-3)
