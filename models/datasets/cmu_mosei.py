"""CMU-MOSEI: opinions on YouTube, rated for sentiment and six emotions (Zadeh et al., ACL 2018).

Layout of the raw release and of the CMU Multimodal SDK: CMU_MOSEI_Labels.csd (HDF5: for each video `intervals` (n, 2),
the seconds of its utterances, and `features` (n, 7), sentiment -3 to 3 and happy, sad, anger, surprise, disgust, fear
0 to 3), Raw/Audio/Full/WAV_16000/VIDEO.wav and cmu_mosei_std_folds.py, the SDK's list of the videos of each split.
Speakers are not published: the video stands for its speaker, who may have others. Utterances of videos in no split are
left out, as the SDK does. Reading the labels needs the package h5py.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from models.datasets.corpus import Corpus, CorpusError, Sample
from models.datasets.layout import need_all, need_file, need_folder

LABELS: Final = ("happiness", "sadness", "anger", "surprise", "disgust", "fear", "neutral")
"""In the order of the label file; neutral is where no rater saw any of the six."""
_FOLDS: Final = {"standard_train_fold": "train", "standard_valid_fold": "valid", "standard_test_fold": "test"}
_FIX: Final = (
    "Take the raw data of multicomp.cs.cmu.edu (CMU-MOSEI) and, of github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK, "
    "CMU_MOSEI_Labels.csd and cmu_mosei_std_folds.py."
)


def read(root: Path) -> tuple[Sample, ...]:
    """Every utterance of the three splits, as a span of its video's sound. Raises `CorpusError`."""
    folds = _folds(need_file(CORPUS.name, root / "cmu_mosei_std_folds.py", _FIX))
    labels = need_file(CORPUS.name, root / "CMU_MOSEI_Labels.csd", _FIX)
    sound = need_folder(CORPUS.name, root / "Raw" / "Audio" / "Full" / "WAV_16000", _FIX)
    samples = tuple(
        _sample(sound / f"{video}.wav", i, interval, ratings, folds[video])
        for video, intervals, features in _labelled(labels)
        if video in folds
        for i, (interval, ratings) in enumerate(zip(intervals, features, strict=True))
    )
    need_all(CORPUS.name, {sample.path for sample in samples if sample.path}, _FIX)
    return samples


def _folds(path: Path) -> dict[str, str]:
    """Video to split, out of the SDK's module, which is read and not run."""
    folds: dict[str, str] = {}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in _FOLDS:
            folds |= dict.fromkeys(ast.literal_eval(node.value), _FOLDS[node.targets[0].id])
    if set(folds.values()) != set(_FOLDS.values()):
        raise CorpusError(f"{CORPUS.name}: {path} does not list {', '.join(_FOLDS)}. {_FIX}")
    return folds


def _labelled(path: Path) -> Iterator[tuple[str, Any, Any]]:
    """Video, (n, 2) intervals in seconds and (n, 7) ratings, by name."""
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError as error:
        raise CorpusError(f"{CORPUS.name}: reading {path} needs h5py: pip install h5py") from error
    try:
        with h5py.File(path) as file:
            data = next(iter(file.values()))["data"]
            for video in sorted(data):
                yield video, data[video]["intervals"][:], data[video]["features"][:]
    except (OSError, KeyError, StopIteration) as error:
        raise CorpusError(f"{CORPUS.name}: {path} is no computational sequence of the SDK ({error}). {_FIX}") from error


def _sample(path: Path, index: int, interval: Any, ratings: Any, split: str) -> Sample:
    sentiment, *emotions = (float(rating) for rating in ratings)
    votes = (*emotions, 0.0 if any(emotions) else 1.0)
    return Sample(
        name=f"{path.stem}[{index}]",
        subject=path.stem,
        label=LABELS[max(range(len(votes)), key=votes.__getitem__)],
        path=path,
        span_s=(max(0.0, float(interval[0])), float(interval[1])),
        votes=votes,
        vad=(max(-1.0, min(1.0, sentiment / 3)), float("nan"), float("nan")),
        split=split,
        attributes={"language": "en"},
    )


CORPUS: Final = Corpus(
    name="cmu-mosei",
    modality="voice",
    licence="none stated for the videos; research use",
    commercial=False,
    citation="Zadeh et al., Multimodal language analysis in the wild: CMU-MOSEI dataset, ACL 2018",
    source="http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset",
    labels=LABELS,
    to_base={label: label for label in LABELS},
    read=read,
)
