"""The eGeMAPS parameters under a support vector machine: what speech science chose by hand, as a yardstick.

Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS) for voice research and affective computing", IEEE
Transactions on Affective Computing 7(2), 2016: 88 statistics of pitch, loudness, spectrum and rhythm, computed by
openSMILE (PyPI `opensmile`; audEERING's research licence, so it is no dependency of this project). It runs on no
runtime of the sidecar: the figures are the result, in `egemaps.json`.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from models.train.recipe import Recipe, RecipeError
from models.train.voice_cases import Material, VoiceCase, targets
from models.train.voice_head import recall
from models.train.voice_windows import as_recorded
from sidecar.types import SAMPLE_RATE_HZ, Options


class SvmOptions(Options, frozen=True):
    """The `[options]` table of an `egemaps-svm`."""

    c: Annotated[float, Meta(gt=0)] = 1.0
    """How much a training error costs."""


def train_egemaps(recipe: Recipe, material: Material, out: Path) -> dict[str, float]:
    """Fit on the training speakers, score the others. Raises `RecipeError` where openSMILE is not installed."""
    options: SvmOptions = recipe.options_as(SvmOptions)
    train, valid = (parameters(cases) for cases in (material.train, material.valid))
    # A clip that may be either of two labels teaches the first.
    truth = targets(material.train, material.labels).argmax(1)
    machine = make_pipeline(StandardScaler(), SVC(C=options.c, class_weight="balanced"))
    machine.fit(train, truth)
    said = np.eye(len(material.labels), dtype=np.float32)[machine.predict(valid)]
    figures = {"valid_uar": recall(said, targets(material.valid, material.labels))}
    out.mkdir(parents=True, exist_ok=True)
    (out / "egemaps.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    print(figures)
    return figures


def parameters(cases: tuple[VoiceCase, ...]) -> NDArray[np.float64]:
    """(cases, 88) of the middle 3 s of each clip, as recorded."""
    smile = _smile()
    rows = [np.asarray(smile.process_signal(as_recorded(case.clip), SAMPLE_RATE_HZ))[0] for case in cases]
    finite: NDArray[np.float64] = np.nan_to_num(np.stack(rows))
    return finite


def _smile() -> Any:
    try:
        import opensmile
    except ImportError as error:
        raise RecipeError("egemaps-svm needs openSMILE: pip install opensmile (research licence)") from error
    return opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
