"""Puts a trained voice model in a pack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.datasets.corpus import Corpus
from models.export import PACK, PORTABLE, Examples, Validation, prefer, publish_best, record
from models.export.kept import KEPT
from models.train.hub_entry import contract_entry
from models.train.own_pack import begin_pack
from models.train.voice_cases import Material, VoiceCase, targets
from models.train.voice_windows import as_recorded
from models.train.whisper_encoder import SAMPLES
from sidecar.inference.manifest import Calibration, ModelSpec
from sidecar.types import Modality

SPEAKER: Final = (
    " Beside the graph, the sidecar takes off what is one person's own from the logits, window after window, by "
    "`calibration.typical`: see sidecar/fusion/speaker_baseline.py. Figures without `_speaker` are without it."
)


FILTERS: Final = ("log_mel.waves", "log_mel.filters", "front_end.filters.weight")
CALIBRATION: Final = 64
"""Clips that static INT8 takes its ranges from."""
COMPARED: Final = 200
"""Clips on which precisions are compared."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a network cannot tell of itself."""

    name: str
    recipe: str
    """The command that makes it."""
    encoder_licence: str = ""
    """Of the weights it started from; empty where it started from nothing."""
    version: str = "0.3.0"


def voice_entry(
    module: nn.Module, material: Material, origin: Origin, calibration: Calibration, *, notes: str = ""
) -> ModelSpec:
    """The manifest's entry for `module`, without a digest; `notes` go behind what is said of its input."""
    licences = dict.fromkeys(f"{corpus.licence} ({corpus.name})" for corpus in material.corpora)
    started = (f"encoder: {origin.encoder_licence}",) if origin.encoder_licence else ()
    entry: ModelSpec = contract_entry(
        Modality.VOICE,
        module,
        sample(),
        material.labels,
        name=origin.name,
        version=origin.version,
        recipe=origin.recipe,
        licence="; ".join((*licences, *started)),
        commercial=all(corpus.commercial for corpus in material.corpora),
        trained_on=tuple(_told(corpus) for corpus in material.corpora),
        map=material.to_base,
        calibration=calibration,
    )
    return msgspec.structs.replace(entry, preprocess=entry.preprocess + notes)


def publish_voice(module: nn.Module, entry: ModelSpec, material: Material, pack: Path = PACK) -> ModelSpec:
    """In the precision that `models.export` finds best, into the repository's pack or first of its kind in one's own.

    Fourier, mel and waveform filters are kept whole, since a thousandth of a loud band would drown a quiet one.
    """
    begin_pack(pack)
    tensors = (*module.named_parameters(), *module.named_buffers())
    entry = publish_best(
        module,
        sample(),
        entry,
        calibration=Examples({"audio": windows(some(material.train, CALIBRATION))}, batch=8),
        validation=validation(material),
        precisions=PORTABLE,
        whole=[name for name, _ in tensors if name.endswith(FILTERS)],
        pack=pack,
        kept=KEPT if pack == PACK else pack / "export",
    )
    if pack != PACK:
        prefer(entry.name, pack)
    return entry


def validation(material: Material) -> Validation:
    """Clips that precisions are compared on; a head fitted last on these too loses as much by rounding as on others."""
    cases = some(material.valid, COMPARED)
    return Validation(Examples({"audio": windows(cases)}, batch=1), targets(cases, material.labels).argmax(1))


def some(cases: Sequence[VoiceCase], count: int) -> list[VoiceCase]:
    """At most so many, drawn in the same way at every call."""
    return [cases[i] for i in sorted(np.random.default_rng(0).permutation(len(cases))[:count])]


def windows(cases: Sequence[VoiceCase]) -> NDArray[np.float32]:
    """(cases, 48000) as recorded."""
    return np.stack([as_recorded(case.clip) for case in cases])


def keep_figures(name: str, figures: Mapping[str, float], pack: Path = PACK) -> None:
    """In the entry's `metrics`."""
    record(name, pack, metrics={key: round(value, 4) for key, value in figures.items()})


def sample(count: int = 2) -> dict[str, torch.Tensor]:
    """`audio` (count, 48000): seeded syllables of pulses in noise, to compare the graph with torch on."""
    return {"audio": torch.from_numpy(speech_like(count))}


def speech_like(count: int = 2) -> NDArray[np.float32]:
    """(count, 48000) of -1..1."""
    random = np.random.default_rng(0)
    time_s = np.arange(SAMPLES) / 16_000
    pitch_hz = random.uniform(100, 250, (count, 1))
    voiced = np.sign(np.sin(2 * np.pi * pitch_hz * time_s)) * (np.sin(2 * np.pi * 4 * time_s) > 0)
    audio: NDArray[np.float32] = (0.1 * voiced + random.normal(0, 0.01, (count, SAMPLES))).astype(np.float32)
    return audio


def _told(corpus: Corpus) -> str:
    part = "actors 01-17" if corpus.name == "ravdess" else "all but its test speakers"
    return f"{corpus.name}, {part} ({corpus.citation})"
