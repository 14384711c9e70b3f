"""Splits in which nobody stands on two sides."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from models.datasets.corpus import CorpusError, Sample

SPLITS: Final = ("train", "valid", "test")
SHARES: Final[Mapping[str, float]] = MappingProxyType({"train": 0.7, "valid": 0.15, "test": 0.15})

Parts = dict[str, tuple[Sample, ...]]


def partition(samples: Sequence[Sample], shares: Mapping[str, float] = SHARES, seed: int = 0) -> Parts:
    """Train, valid and test: as published where published, else by subject.

    A published corpus without one of the splits has it carved out of its train split. Raises `CorpusError`.
    """
    official: Parts = {name: tuple(each for each in samples if each.split == name) for name in SPLITS}
    free = tuple(each for each in samples if each.split is None)
    if len(free) == len(samples):
        return split_by_subject(samples, shares, seed)
    absent = {name: shares.get(name, 0.0) for name in SPLITS if not official[name] and name != "train"}
    learnt = official["train"] + free
    carved = split_by_subject(learnt, {"train": 1 - sum(absent.values()), **absent}, seed) if absent and learnt else {}
    return {name: carved.get(name) or (learnt if name == "train" else official[name]) for name in SPLITS}


def split_by_subject(samples: Sequence[Sample], shares: Mapping[str, float] = SHARES, seed: int = 0) -> Parts:
    """Splits of about those shares of the samples, no subject in two; the same at every call and on every machine.

    Subjects are dealt in an order drawn by `seed` to the split that lacks most. A sample whose corpus names no
    subject stands for itself, so that for such corpora nothing is promised. Raises `CorpusError` where there are fewer
    subjects than splits.
    """
    sizes = Counter(subject_of(sample) for sample in samples)
    wanted = {name: share for name, share in shares.items() if share > 0}
    if len(sizes) < len(wanted):
        raise CorpusError(
            f"{len(sizes)} subjects cannot be split into {', '.join(wanted)} without one of them on two sides; "
            "add subjects, name them (`subjects.csv` of a folder), or give each sample its split"
        )
    goals = {name: share / sum(wanted.values()) * len(samples) for name, share in wanted.items()}
    filled = dict.fromkeys(wanted, 0)
    place: dict[str, str] = {}
    for subject in sorted(sizes, key=lambda each: hashlib.sha256(f"{seed}:{each}".encode()).digest()):
        split = max(wanted, key=lambda name: 1 - filled[name] / goals[name])
        place[subject] = split
        filled[split] += sizes[subject]
    parts: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        parts[place[subject_of(sample)]].append(sample)
    return {name: tuple(parts[name]) for name in shares}


def subject_of(sample: Sample) -> str:
    """Who the sample is of, or itself where nobody says."""
    return f"sample:{sample.name}" if sample.subject is None else f"subject:{sample.subject}"
