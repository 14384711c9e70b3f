"""The face model as it sees a call: found, aligned and read by the production stages, on faces no corpus holds."""

from collections.abc import Iterator

import av
import numpy as np
import pytest

from models.datasets import data_root, ferplus
from models.evaluate import face as evaluation
from models.evaluate.metrics import probabilities
from sidecar.inference.blazeface import FaceDetector
from sidecar.inference.face_mesh import FaceMesh
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import read_manifest
from sidecar.media.face_crop import aligned_luma
from sidecar.types import ByteArray

CLIPS = data_root() / "clips"
pytestmark = pytest.mark.skipif(not CLIPS.is_dir(), reason="the clips are not in the data folder")


def frames(name: str, chosen: range) -> Iterator[ByteArray]:
    """Pictures of a clip by number, no wider than the lowest layer of a call."""
    with av.open(str(CLIPS / name)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in chosen:
                narrow = min(1.0, 320 / frame.width)
                size = {"width": int(frame.width * narrow), "height": int(frame.height * narrow)}
                yield frame.reformat(format="rgb24", **size).to_ndarray().astype(np.uint8)


def expressions(name: str, chosen: range) -> dict[str, float]:
    """Mean probability of each emotion over the faces found."""
    pack = evaluation.PACK
    specs = {spec.name: spec for spec in read_manifest(pack)}
    detector, mesh = (OrtModel(specs[network], pack / specs[network].file) for network in ("blazeface", "face-mesh"))
    crops = []
    for rgb in frames(name, chosen):
        for box in FaceDetector(detector).detect(rgb)[:1]:
            face = FaceMesh(mesh).landmarks(rgb, box)
            crops.append(aligned_luma(rgb, FaceMesh(mesh).landmarks(rgb, face.box)))
    spec = evaluation.entry()
    logits = evaluation.predictor(evaluation.open_model(spec))(np.stack(crops))
    shares = probabilities(logits, spec.calibration.temperature).mean(0)
    return dict(zip(ferplus.LABELS, shares.tolist(), strict=True))


def test_a_smile_is_happiness() -> None:
    assert expressions("single_face.jpg", range(1))["happiness"] > 0.6


def test_distress_is_not_happiness() -> None:
    """The clip at 25 pictures a second: she weeps for some nine seconds, then laughs with relief."""
    distress = expressions("WolfgangLanger_Pexels.mp4", range(50, 250, 20))
    assert distress["happiness"] < 0.25
    assert max(distress, key=lambda emotion: distress[emotion]) in ("sadness", "fear", "anger", "disgust")


def test_relief_in_the_same_face_is_happiness() -> None:
    assert expressions("WolfgangLanger_Pexels.mp4", range(300, 490, 20))["happiness"] > 0.6


def test_people_reading_aloud_do_not_look_alarmed() -> None:
    shares = expressions("lrwp9a.mpg", range(0, 75, 15))
    assert max(shares, key=lambda emotion: shares[emotion]) == "neutral"
