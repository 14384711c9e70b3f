"""Checkpoints in the layout of the Hugging Face hub, read from a folder on this machine and from nowhere else.

    checkpoint = open_checkpoint(Path("checkpoints/wav2vec2-base"))
    body = load_body(checkpoint)                     # under heads of one's own
    classifier = load_classifier(checkpoint)         # with the head and the labels it was trained with
    classifier = fresh_classifier(checkpoint, names) # with a new, untrained head

A folder holds `config.json`, the weights as `model.safetensors` or as shards beside `model.safetensors.index.json`, and
`preprocessor_config.json` (pictures, speech) or `tokenizer.json` (text): what `hf download OWNER/NAME --local-dir DIR`
leaves. Everything amiss is a `CheckpointError` that names the file and the remedy.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
import transformers
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
PREPROCESSOR: Final = "preprocessor_config.json"
TOKENIZER: Final = "tokenizer.json"

_HEADS: Final = ("classifier.weight", "classifier.out_proj.weight", "classifier.output.weight")
"""Names of the last layer of a classification head, (labels, width)."""
_UNUSED: Final = ("pooler.", "masked_spec_embed")
"""Parts of a body that the wrappers never read, so that they may be missing: BERT's pooler, SpecAugment's mask."""


class CheckpointError(Exception):
    """A checkpoint's folder is not in the hub's layout or its files do not go together."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder whose files are there and go together; no weights are in memory yet."""

    folder: Path
    config: PretrainedConfig
    shapes: Mapping[str, tuple[int, ...]]
    """Of every stored tensor."""

    @property
    def family(self) -> str:
        """The architecture: `vit`, `wav2vec2`, `hubert`, `wavlm`, `roberta`, `distilbert`, `modernbert`, ..."""
        return str(self.config.model_type)

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the classification head, in the order of its logits; none where there is no head."""
        return _names(self.config) if any(name in self.shapes for name in _HEADS) else ()


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read what the folder holds, short of the weights. Raises `CheckpointError`."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; `hf download OWNER/NAME --local-dir {folder}` fills it")
    config = _config(folder / CONFIG)
    checkpoint = Checkpoint(folder, config, dict(_shapes(folder)))
    _check_head(checkpoint)
    return checkpoint


def load_body(checkpoint: Checkpoint) -> PreTrainedModel:
    """The trained network without a head, in FP32, ready for export. Raises `CheckpointError`."""
    return _load(AutoModel, checkpoint)


def load_classifier(checkpoint: Checkpoint, task: str) -> PreTrainedModel:
    """The network with its trained head; `task` is one of `ImageClassification`, `AudioClassification` and
    `SequenceClassification`. Raises `CheckpointError`, also where the checkpoint has no head."""
    if not checkpoint.labels:
        raise CheckpointError(
            f"{checkpoint.folder}: has no classification head (none of {', '.join(_HEADS)}); "
            "fine-tune it first, or choose a checkpoint that was"
        )
    return _load(getattr(transformers, f"AutoModelFor{task}"), checkpoint)


def fresh_classifier(checkpoint: Checkpoint, task: str, labels: Sequence[str]) -> PreTrainedModel:
    """The trained network under an untrained head for `labels`. Raises `CheckpointError`."""
    body = load_body(checkpoint)
    config = type(checkpoint.config).from_dict(checkpoint.config.to_dict())
    classifier = random_classifier(config, task, labels)
    own = getattr(classifier, classifier.base_model_prefix)
    own.load_state_dict(body.state_dict(), strict=False)  # but for poolers, which one of them may not have
    return classifier


def random_classifier(config: PretrainedConfig, task: str, labels: Sequence[str]) -> PreTrainedModel:
    """The architecture of a configuration with random weights, for tests of shape and for training from nothing."""
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    maker = getattr(transformers, f"AutoModelFor{task}")
    model: PreTrainedModel = maker.from_config(config, attn_implementation="eager")
    model.train(False)
    return model


def read_json(path: Path, kind: type[Any]) -> Any:
    """A JSON file of the folder as a typed value. Raises `CheckpointError`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: is missing; download the checkpoint's folder whole") from None
    except msgspec.DecodeError as error:
        raise CheckpointError(f"{path}: {error}; download it again") from error


def _config(path: Path) -> PretrainedConfig:
    stored = read_json(path, dict[str, Any])
    family = stored.get("model_type")
    if family not in CONFIG_MAPPING:
        raise CheckpointError(f"{path}, key 'model_type': transformers {transformers.__version__} knows no {family!r}")
    config: PretrainedConfig = AutoConfig.from_pretrained(path.parent, local_files_only=True)
    numbers = config.id2label or {}
    if set(numbers) != set(range(len(numbers))):
        raise CheckpointError(f"{path}, key 'id2label': numbers must run from 0 without a gap")
    if len(set(_names(config))) != len(numbers):
        raise CheckpointError(f"{path}, key 'id2label': two labels have one name; name each")
    return config


def _names(config: PretrainedConfig) -> tuple[str, ...]:
    """The labels of a configuration; it numbers them, in any order."""
    return tuple(name for _, name in sorted((config.id2label or {}).items()))


def _shapes(folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the stored tensors, from the files' headers."""
    if (folder / WEIGHTS).exists():
        yield from _stored(folder / WEIGHTS).items()
        return
    if not (folder / INDEX).exists():
        pickles = [*folder.glob("*.bin"), *folder.glob("*.pt")]
        remedy = (
            f"{pickles[0].name} is a pickle, which may run code: take a revision that has safetensors"
            if pickles
            else f"download {WEIGHTS}, or {INDEX} with its shards"
        )
        raise CheckpointError(f"{folder / WEIGHTS}: is missing; {remedy}")
    places: dict[str, str] = read_json(folder / INDEX, dict[str, Any]).get("weight_map", {})
    shards = {name: _stored(folder / name) for name in sorted(set(places.values()))}
    for tensor, name in places.items():
        if tensor not in shards[name]:
            raise CheckpointError(f"{folder / name}: has no {tensor!r}, which {INDEX} puts there; download both again")
        yield tensor, shards[name][tensor]


def _stored(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); download it again") from error


def _check_head(checkpoint: Checkpoint) -> None:
    """Refuse a head that gives another number of logits than the configuration has labels."""
    for name in _HEADS:
        rows = checkpoint.shapes.get(name, (0,))[0]
        labels = _names(checkpoint.config)
        if rows and rows != len(labels):
            raise CheckpointError(
                f"{checkpoint.folder / CONFIG}, key 'id2label': {len(labels)} labels for the {rows} logits of "
                f"{name!r} in the weights; list them in the order of the head"
            )


def _load(maker: Any, checkpoint: Checkpoint) -> PreTrainedModel:
    """Raises `CheckpointError` unless every weight that counts came from the checkpoint."""
    with _quiet():
        model, said = maker.from_pretrained(
            checkpoint.folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation="eager",  # the fused kernels export to graphs that fix the batch
            ignore_mismatched_sizes=True,  # they are refused below, by name
            output_loading_info=True,
        )
    if wrong := sorted(str(key[0]) for key in said["mismatched_keys"]):
        raise CheckpointError(
            f"{checkpoint.folder}: {CONFIG} describes another shape than the weights have: {_some(wrong)}; "
            "take both files from one revision"
        )
    if absent := sorted(key for key in said["missing_keys"] if not any(part in key for part in _UNUSED)):
        raise CheckpointError(
            f"{checkpoint.folder}: the weights lack {_some(absent)} of a {type(model).__name__}; "
            "take all files from one revision"
        )
    loaded: PreTrainedModel = model
    loaded.train(False)
    return loaded


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' report of the loading off the terminal: what matters in it is raised."""
    said: Any = transformers.logging  # untyped
    level, bar = said.get_verbosity(), said.is_progress_bar_enabled()
    said.set_verbosity_error()
    said.disable_progress_bar()
    try:
        yield
    finally:
        said.set_verbosity(level)
        if bar:
            said.enable_progress_bar()
