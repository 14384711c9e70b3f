"""Readers of the corpora that recipes and evaluation use; none of them is part of the repository.

A corpus module has a frozen dataclass for one split and `load(split)` that reads it from below `data_root()`.
"""

import os
from pathlib import Path


def data_root() -> Path:
    """The folder of the corpora: `SIDECAR_DATA`, else `shared/data` beside the repository. It need not exist."""
    told = os.environ.get("SIDECAR_DATA")
    return Path(told) if told else Path(__file__).parents[2].parent / "shared" / "data"
