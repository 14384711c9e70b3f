"""Corpora by name, as recipes give them: `ravdess`, `iemocap:PATH` for one that lies elsewhere, `folder:PATH`.

`python -m models.datasets.catalogue` lists what is known and what is on hand.
"""

from pathlib import Path
from typing import Final

from models.datasets import (
    ased,
    data_root,
    emobank,
    emodb,
    emospeech,
    ferplus,
    goemotions,
    meld,
    nemo,
    ravdess,
    sst2,
)
from models.datasets.corpus import Corpus, CorpusError, CorpusModality, Sample

_MODULES: Final = (
    ravdess,
    emodb,
    nemo,
    emospeech,
    ased,
    ferplus,
    goemotions,
    emobank,
    sst2,
    meld,
)
CORPORA: Final = {module.CORPUS.name: module.CORPUS for module in _MODULES}
"""Every corpus with a layout of its own."""


def load(reference: str, modality: CorpusModality | None = None) -> tuple[Corpus, tuple[Sample, ...]]:
    """The corpus that `NAME` or `NAME:PATH` stands for, and its samples. Raises `CorpusError`.

    `modality`: what the recipe is for; a corpus of another is refused.
    """
    corpus, root = resolve(reference)
    if modality is not None and corpus.modality != modality:
        raise CorpusError(f"{reference} is a {corpus.modality} corpus; this recipe wants one of modality {modality}")
    return corpus, corpus.read(root)


def resolve(reference: str) -> tuple[Corpus, Path]:
    """The corpus and its root folder, before anything of it is read. Raises `CorpusError`."""
    name, _, path = reference.partition(":")
    corpus = CORPORA.get(name)
    if corpus is None:
        raise CorpusError(f"no corpus is called {name!r}; known: {', '.join(sorted(CORPORA))}")
    if path:
        return corpus, Path(path).expanduser()
    if corpus.folder is None:
        raise CorpusError(f"{name} is not on hand; get it from {corpus.source} and say where it lies: {name}:PATH")
    return corpus, data_root() / corpus.folder


def on_hand() -> tuple[Corpus, ...]:
    """The corpora whose folder exists below `data_root()`."""
    return tuple(each for each in CORPORA.values() if each.folder is not None and (data_root() / each.folder).is_dir())


def main() -> None:
    """Print what is known, and how much of it is here."""
    for corpus in CORPORA.values():
        here = f"{len(corpus.read(data_root() / corpus.folder))} samples" if corpus in on_hand() else "not on hand"
        print(f"{corpus.name:12} {corpus.modality:6} {here:16} {corpus.licence:40} {corpus.source}")


if __name__ == "__main__":
    main()
