"""One's own clips or faces: `folder:PATH` with a folder for each class.

PATH/anger/ann_01.wav        sound of any rate (wav flac opus ogg mp3 m4a mp4 webm),
PATH/happiness/ben_02.png    or pictures of faces of any size (png jpg jpeg bmp webp)
PATH/subjects.csv            file,subject[,split,gender,age,language,...]: who is in a file; optional
PATH/labels.toml             bored = "neutral", noise = "" and so on: what a class means; optional

A class may be a base emotion (neutral happiness surprise sadness anger disgust fear contempt) or a common word for one
(happy, angry, ...); any other needs a line in `labels.toml`, where "" leaves the class out. Without a row in
`subjects.csv` a file is of the subject before the first underscore of its name: `ann_01.wav` is of `ann`. Splits keep
subjects apart, so say who is who: figures on people the model has heard before flatter it.
"""

import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from models.datasets.corpus import Corpus, CorpusError, CorpusModality, Sample
from models.datasets.layout import Row, found_in, need_folder, read_rows
from sidecar.types import EMOTIONS

SOUND: Final = frozenset({".wav", ".flac", ".opus", ".ogg", ".mp3", ".m4a", ".mp4", ".webm"})
PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
SYNONYMS: Final = {
    "calm": "neutral", "happy": "happiness", "joy": "happiness", "surprised": "surprise", "sad": "sadness",
    "angry": "anger", "disgusted": "disgust", "fearful": "fear", "afraid": "fear", "anxiety": "fear",
}  # fmt: skip
_FIX: Final = "Make one folder for each class, with sound files or pictures in it (see models/datasets/folder.py)."
_SPLITS: Final = ("train", "valid", "test")


def folder_corpus(root: Path) -> Corpus:
    """The corpus of one such folder. Raises `CorpusError` naming what to change."""
    need_folder("folder", root, _FIX)
    table = _label_table(root)
    classes = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    meaning = {name: _base(root, name, table) for name in classes}
    kept = {name: base for name, base in meaning.items() if base}
    for name in table.keys() - set(classes):
        raise CorpusError(f"folder: {root / 'labels.toml'} names the class {name!r}, but {root} has no such folder")
    if len(kept) < 2:
        raise CorpusError(f"folder: {root} has {found_in(root)}; expected two classes or more. {_FIX}")
    return Corpus(
        name="folder",
        modality=_modality(root, tuple(kept)),
        licence="your own",
        commercial=False,
        citation=f"the folder {root.name}",
        source="a folder of one's own",
        labels=tuple(kept),
        to_base=kept,
        read=lambda _: _read(root, tuple(kept)),
    )


def _label_table(root: Path) -> Mapping[str, str]:
    path = root / "labels.toml"
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CorpusError(f"folder: {path}: {error}; write one line a class, such as bored = 'neutral'") from error
    for name, base in table.items():
        if base != "" and base not in EMOTIONS:
            raise CorpusError(f"folder: {path}: {name} = {base!r} must be one of {', '.join(EMOTIONS)}, or ''")
    return table


def _base(root: Path, name: str, table: Mapping[str, str]) -> str:
    if name in table:
        return table[name]
    word = SYNONYMS.get(name.lower(), name.lower())
    if word not in EMOTIONS:
        raise CorpusError(
            f"folder: {root / name} is no class that is known; rename it to one of {', '.join(EMOTIONS)}, or give its "
            f"meaning in {root / 'labels.toml'}: {name} = 'neutral', or '' to leave it out"
        )
    return word


def _modality(root: Path, classes: tuple[str, ...]) -> CorpusModality:
    """Voice or face, by what most files are."""
    suffixes = Counter(path.suffix.lower() for name in classes for path in (root / name).iterdir())
    sounds, pictures = (sum(suffixes[suffix] for suffix in kind) for kind in (SOUND, PICTURES))
    return "face" if pictures > sounds else "voice"


def _read(root: Path, classes: tuple[str, ...]) -> tuple[Sample, ...]:
    table = root / "subjects.csv"
    rows = read_rows("folder", table, ("file", "subject"), _FIX) if table.is_file() else []
    people = {row["file"]: row for row in rows}
    samples = [sample for name in classes for sample in _of_class(root, name, people)]
    files = {sample.name for sample in samples} | {Path(sample.name).name for sample in samples}
    for file in sorted(each for each in people.keys() - files if not (root / each).is_file()):
        raise CorpusError(f"folder: {table} names {file}, which is no file of a class; write CLASS/FILE or FILE")
    return tuple(samples)


def _of_class(root: Path, name: str, people: Mapping[str, Row]) -> list[Sample]:
    files = sorted(path for path in (root / name).iterdir() if path.suffix.lower() in SOUND | PICTURES)
    if not files:
        raise CorpusError(
            f"folder: the class {root / name} has no samples, only {found_in(root / name)}; add files "
            f"({' '.join(sorted(SOUND | PICTURES))}), or leave it out in labels.toml: {name} = ''"
        )
    return [_sample(path, name, people.get(f"{name}/{path.name}") or people.get(path.name, {})) for path in files]


def _sample(path: Path, label: str, row: Mapping[str, str]) -> Sample:
    prefix, underscore, _ = path.stem.partition("_")
    split = row.get("split") or None
    if split not in (None, *_SPLITS):
        raise CorpusError(f"folder: subjects.csv gives {path.name} the split {split!r}; expected {', '.join(_SPLITS)}")
    return Sample(
        name=f"{label}/{path.name}",
        subject=row.get("subject") or (prefix if underscore else None),
        label=label,
        path=path,
        split=split,
        attributes={key: value for key, value in row.items() if key not in ("file", "subject", "split") and value},
    )
