"""Is a corpus really there? Checks that say which folder, what was found, what was expected and how to get it."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from models.datasets.corpus import CorpusError

_POINTER: Final = b"version https://git-lfs"
Row = dict[str, str]


def need_folder(name: str, path: Path, fix: str) -> Path:
    """The folder. Raises `CorpusError`."""
    if not path.is_dir():
        raise CorpusError(f"{name}: no folder {path}; its parent has {found_in(path.parent)}. {fix}")
    return path


def need_file(name: str, path: Path, fix: str) -> Path:
    """The file. Raises `CorpusError`."""
    if not path.is_file():
        raise CorpusError(f"{name}: no file {path}; the folder has {found_in(path.parent)}. {fix}")
    return path


def files_in(name: str, folder: Path, patterns: Sequence[str], fix: str) -> list[Path]:
    """The files of a folder that match any of the patterns, in order. Raises `CorpusError` where there are none."""
    need_folder(name, folder, fix)
    files = sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    if not files:
        raise CorpusError(f"{name}: {folder} has {found_in(folder)}; expected {' or '.join(patterns)}. {fix}")
    with files[0].open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise CorpusError(f"{name}: {files[0]} is a Git LFS pointer, not the file; run `git lfs pull` in {folder}")
    return files


def need_all(name: str, wanted: Iterable[Path], fix: str) -> None:
    """Raises `CorpusError` where files that the labels speak of are not there."""
    paths = list(wanted)
    listing = {folder: {path.name for path in folder.glob("*")} for folder in {path.parent for path in paths}}
    absent = [path for path in paths if path.name not in listing[path.parent]]
    if absent:
        raise CorpusError(
            f"{name}: half unpacked: {len(absent)} of the {len(paths)} files it lists are absent, such as {absent[0]}; "
            f"{absent[0].parent} has {found_in(absent[0].parent)}. {fix}"
        )


def read_rows(name: str, path: Path, columns: Sequence[str], fix: str, delimiter: str = ",") -> list[Row]:
    """The rows of a table with at least those columns. Raises `CorpusError`."""
    need_file(name, path, fix)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        absent = [column for column in columns if column not in (reader.fieldnames or ())]
        if absent:
            raise CorpusError(f"{name}: {path} has the columns {reader.fieldnames}, not {', '.join(absent)}. {fix}")
        return list(reader)


def known_label(name: str, where: Path | str, label: str, labels: Iterable[str]) -> str:
    """The label. Raises `CorpusError` for one that the corpus does not have."""
    if label not in (known := tuple(labels)):
        raise CorpusError(f"{name}: {where} is labelled {label!r}, which is none of {', '.join(known)}; correct it")
    return label


def found_in(folder: Path) -> str:
    """What lies in a folder, in a few words."""
    if not folder.is_dir():
        return "nothing, for it does not exist"
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    return f"{', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}" if names else "nothing"
