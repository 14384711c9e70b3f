"""Real faces and the real networks, for tests of the video path."""

import os
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from skimage.data import astronaut

from sidecar.faces import Eyes, FaceBox, FaceLandmarks
from sidecar.inference.blazeface import FaceDetector
from sidecar.inference.face_mesh import FaceMesh
from sidecar.inference.iris import IrisTracker
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import read_manifest
from sidecar.types import ByteArray

MODELS = Path(__file__).parents[1] / "models"


def _network(name: str) -> OrtModel:
    (spec,) = (spec for spec in read_manifest(MODELS) if spec.name == name)
    return OrtModel(spec, MODELS / spec.file)


@cache
def detector() -> FaceDetector:
    return FaceDetector(_network("blazeface"))


@cache
def mesh() -> FaceMesh:
    return FaceMesh(_network("face-mesh"))


@cache
def iris() -> IrisTracker:
    return IrisTracker(_network("iris"))


@cache
def portrait() -> ByteArray:
    """Eileen Collins (NASA, public domain): one smiling face, slightly turned, about 110 px wide. (512, 512, 3)."""
    picture: ByteArray = np.ascontiguousarray(astronaut())
    picture.setflags(write=False)
    return picture


@cache
def clip(name: str, every: int = 1, width: int | None = None, height: int | None = None) -> tuple[ByteArray, ...]:
    """Frames of a shared clip or picture; skips the test where the shared data is absent."""
    folder = Path(os.environ.get("SIDECAR_DATA", Path(__file__).parents[2] / "shared/data"))
    path = folder / "clips" / name
    if not path.is_file():
        pytest.skip(f"needs clips/{name} of the shared data (SIDECAR_DATA)")
    with av.open(str(path)) as container:
        frames = [frame for index, frame in enumerate(container.decode(video=0)) if index % every == 0]
        return tuple(frame.reformat(width, height, "rgb24").to_ndarray() for frame in frames)


def found(rgb: ByteArray) -> FaceLandmarks:
    """The mesh of the most certain face."""
    box: FaceBox = detector().detect(rgb)[0]
    return mesh().landmarks(rgb, mesh().landmarks(rgb, box).box)


def eyes(rgb: ByteArray, face: FaceLandmarks) -> Eyes:
    return iris().eyes(rgb, face)


def turned(rgb: ByteArray, quarter_degrees: float) -> ByteArray:
    """The picture turned clockwise about its middle by so many degrees."""
    from sidecar.affine import Region, resample

    side = min(rgb.shape[:2])
    middle = Region(rgb.shape[1] / 2, rgb.shape[0] / 2, side, -float(np.radians(quarter_degrees)))
    return resample(rgb, middle, side).astype(np.uint8)
