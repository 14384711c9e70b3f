"""RAF-DB, basic emotions: 15,339 faces from the web, each seen by about 40 raters (Li, Deng and Du, CVPR 2017).

Layout of the folder `basic`: EmoLabel/list_patition_label.txt (so spelt; `train_00001.jpg 5`), Image/aligned/
train_00001_aligned.jpg (100x100) and Annotation/manual/train_00001_manu_attri.txt (five landmarks, then gender, race
and age range as the raters saw them). The splits are in the names; validation is carved out of training. No subjects
are published.
"""

from pathlib import Path
from typing import Final

from models.datasets.corpus import Corpus, CorpusError, Sample
from models.datasets.layout import need_all, need_file, need_folder

LABELS: Final = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""In the order of the numbers 1 to 7."""
GROUPS: Final = {
    "gender": ("male", "female", "unsure"),
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0-3", "4-19", "20-39", "40-69", "70+"),
}
"""In the order of their numbers; raters' impressions, in the words of the corpus."""
_FIX: Final = "Ask for it at whdeng.cn/RAF and unpack EmoLabel, Image/aligned.zip and Annotation/manual.zip there."


def read(root: Path) -> tuple[Sample, ...]:
    """Every aligned face below `root`, the folder `basic`. Raises `CorpusError`."""
    table = need_file(CORPUS.name, root / "EmoLabel" / "list_patition_label.txt", _FIX)
    pictures = need_folder(CORPUS.name, root / "Image" / "aligned", _FIX)
    notes = need_folder(CORPUS.name, root / "Annotation" / "manual", _FIX)
    rows = [line.split() for line in table.read_text("utf-8").splitlines() if line.strip()]
    wanted = [pictures / f"{Path(row[0]).stem}_aligned.jpg" for row in rows]
    need_all(CORPUS.name, wanted, _FIX)
    need_all(CORPUS.name, (notes / f"{Path(row[0]).stem}_manu_attri.txt" for row in rows), _FIX)
    return tuple(_sample(table, row, picture, notes) for row, picture in zip(rows, wanted, strict=True))


def _sample(table: Path, row: list[str], picture: Path, notes: Path) -> Sample:
    name = Path(row[0]).stem
    split = name.partition("_")[0]
    if len(row) != 2 or row[1] not in map(str, range(1, 8)) or split not in ("train", "test"):
        raise CorpusError(f"{CORPUS.name}: {table}: {' '.join(row)!r} is no picture with 1 to 7. {_FIX}")
    return Sample(
        name=name,
        subject=None,
        label=LABELS[int(row[1]) - 1],
        path=picture,
        split=split,
        attributes=_groups(notes / f"{name}_manu_attri.txt"),
    )


def _groups(path: Path) -> dict[str, str]:
    numbers = path.read_text("utf-8").split()[-len(GROUPS) :]
    try:
        return {name: words[int(number)] for (name, words), number in zip(GROUPS.items(), numbers, strict=True)}
    except (ValueError, IndexError) as error:
        raise CorpusError(f"{CORPUS.name}: {path} does not end in gender, race and age ({error}). {_FIX}") from error


CORPUS: Final = Corpus(
    name="raf-db",
    modality="face",
    licence="RAF-DB licence: non-commercial research, by agreement",
    commercial=False,
    citation="Li, Deng and Du, Reliable crowdsourcing and deep locality-preserving learning, CVPR 2017",
    source="http://whdeng.cn/RAF/model1.html",
    labels=LABELS,
    to_base={label: label for label in LABELS},
    read=read,
)
