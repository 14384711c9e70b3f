"""Readers of the corpora that recipes and evaluation use; none of them is part of the repository.

Each module describes one corpus as `CORPUS` (`corpus.py` says what that holds); `catalogue.load("ravdess")` reads it,
`splits.partition` splits it so that nobody stands on two sides. `folder.py` and `calls.py` are for data of one's own.
Older recipes call a module's `load(split)`, which gives arrays.
"""

import os
from pathlib import Path


def data_root() -> Path:
    """The folder of the corpora: `SIDECAR_DATA`, else `shared/data` beside the repository. It need not exist."""
    told = os.environ.get("SIDECAR_DATA")
    return Path(told) if told else Path(__file__).parents[2].parent / "shared" / "data"
