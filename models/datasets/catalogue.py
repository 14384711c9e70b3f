"""Corpora by name, as recipes give them: `ravdess`, `iemocap:PATH` for one that lies elsewhere, `folder:PATH`.

`python -m models.datasets.catalogue` lists what is known and what is on hand.
"""

from pathlib import Path
from typing import Final

from models.datasets import (
    affectnet,
    ased,
    calls,
    cmu_mosei,
    crema_d,
    data_root,
    emobank,
    emodb,
    emospeech,
    ferplus,
    goemotions,
    iemocap,
    meld,
    msp_podcast,
    nemo,
    raf_db,
    ravdess,
    sst2,
)
from models.datasets.corpus import Corpus, CorpusError, CorpusModality, Sample
from models.datasets.folder import folder_corpus

_MODULES: Final = (
    ravdess,
    emodb,
    nemo,
    emospeech,
    ased,
    iemocap,
    crema_d,
    msp_podcast,
    cmu_mosei,
    ferplus,
    affectnet,
    raf_db,
    goemotions,
    emobank,
    sst2,
    meld,
    calls,
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
    if name == "folder":
        if not path:
            raise CorpusError("say which folder: folder:PATH, with a folder for each class in it")
        return folder_corpus(Path(path).expanduser()), Path(path).expanduser()
    corpus = CORPORA.get(name.replace("_", "-"))
    if corpus is None:
        raise CorpusError(f"no corpus is called {name!r}; known: {', '.join(sorted(CORPORA))}, folder:PATH")
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
        root = data_root() / (corpus.folder or "")
        here = f"{len(corpus.read(root))} samples" if corpus in on_hand() else "not on hand"
        print(f"{corpus.name:12} {corpus.modality:6} {here:16} {corpus.licence:40} {corpus.source}")


if __name__ == "__main__":
    main()
