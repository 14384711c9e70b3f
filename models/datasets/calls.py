"""Calls of one's own, with spans in which a person is engaged, disengaged, confused or frustrated: `calls:PATH`.

PATH/spans.csv       file,identity,start,end,label[,consent,...]    seconds from the beginning of the recording
PATH/ann-1.mp4       any recording with video, sound or both, of one person

There is no such corpus to download. Label spans of a few seconds or more in which two raters agree, and leave out the
rest. `consent` lists what the person has agreed to have analysed for this purpose, as `face,voice` in quotes; without
it `models.train.engagement` must be told with --consent. Further columns (gender, age, language) become groups.
"""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Final

from models.datasets.corpus import Corpus, CorpusError, Sample
from models.datasets.layout import Row, known_label, need_all, need_folder, read_rows

LABELS: Final = ("engaged", "disengaged", "confused", "frustrated")
COLUMNS: Final = ("file", "identity", "start", "end", "label")
_FIX: Final = "Write spans.csv as models/datasets/calls.py shows, beside the recordings."


def read(root: Path) -> tuple[Sample, ...]:
    """The spans, by recording and start. Raises `CorpusError` for spans that overlap or two people in one file."""
    need_folder(CORPUS.name, root, _FIX)
    table = root / "spans.csv"
    rows = read_rows(CORPUS.name, table, COLUMNS, _FIX)
    if not rows:
        raise CorpusError(f"{CORPUS.name}: {table} has no rows. {_FIX}")
    need_all(CORPUS.name, {root / row["file"] for row in rows}, "Put the recordings beside spans.csv.")
    spans = [_span(root, table, line, row) for line, row in enumerate(rows, 2)]
    recordings: defaultdict[str, list[Sample]] = defaultdict(list)
    for span in spans:
        recordings[str(span.path)].append(span)
    return tuple(span for each in recordings.values() for span in _checked(table, each))


def _span(root: Path, table: Path, line: int, row: Row) -> Sample:
    where = f"{table}, line {line}"
    try:
        start_s, end_s = float(row["start"]), float(row["end"])
    except ValueError as error:
        raise CorpusError(f"{CORPUS.name}: {where}: {error}; start and end are seconds, such as 12.5") from error
    if not 0 <= start_s < end_s:
        raise CorpusError(f"{CORPUS.name}: {where}: {start_s} to {end_s} s is no span; it must run forwards")
    if not row["identity"]:
        raise CorpusError(f"{CORPUS.name}: {where}: no identity; say who it is, so that splits keep people apart")
    label = known_label(CORPUS.name, where, row["label"], LABELS)
    groups = {key: value for key, value in row.items() if key not in COLUMNS and value}
    name = f"{row['file']}@{start_s:g}-{end_s:g}"
    return Sample(name, row["identity"], label, root / row["file"], (start_s, end_s), attributes=groups)


def _checked(table: Path, spans: list[Sample]) -> list[Sample]:
    ordered = sorted(spans, key=lambda span: span.span_s or (0.0, 0.0))
    people = sorted({str(span.subject) for span in spans})
    if len(people) > 1:
        raise CorpusError(
            f"{CORPUS.name}: {table}: {spans[0].path} is of {' and '.join(people)}; cut one recording for each person"
        )
    for before, after in pairwise(ordered):
        if before.span_s and after.span_s and before.span_s[1] > after.span_s[0]:
            raise CorpusError(f"{CORPUS.name}: {table}: {before.name} and {after.name} overlap; correct one of them")
    return ordered


CORPUS: Final = Corpus(
    name="calls",
    modality="call",
    licence="your own",
    commercial=False,
    citation="recordings and labels of one's own",
    source="a folder of one's own",
    labels=LABELS,
    to_base={},
    read=read,
)
