"""Finding faces: BlazeFace, short range.

Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs" (2019), arXiv:1907.05047. The
constants are those of MediaPipe's graph `face_detection_short_range` (mediapipe 0.10.21): a 128 px picture, anchors on
grids of stride 8 (two a cell) and 16 (six a cell), boxes of centre, size and six keypoints in pixels relative to the
anchor's centre; overlapping boxes are blended by score instead of suppressed (section 3.4 of the paper).
"""

from typing import Final

import numpy as np

from sidecar.affine import Region, resample
from sidecar.faces import FaceBox
from sidecar.inference.encoder import Model
from sidecar.types import ByteArray, FloatArray

SIDE_PX: Final = 128
_GRIDS: Final = ((8, 2), (16, 6))  # stride in pixels, anchors a cell
_CERTAIN: Final = 0.8
_LARGE: Final = 0.3
"""Share of the picture's shorter side above which a face needs no second look."""


def anchors() -> FloatArray:
    """Centres of the 896 anchors in pixels of the input, (896, 2)."""
    grids = []
    for stride, count in _GRIDS:
        middle = (np.arange(SIDE_PX // stride) + 0.5) * stride
        y, x = np.meshgrid(middle, middle, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), count, axis=0))
    return np.concatenate(grids).astype(np.float32)


class FaceDetector:
    """Boxes of all faces of a picture.

    The network loses faces below a seventh of its input, so a picture in which it finds none, or only small or doubtful
    ones, is read again in two squares, one at each end. A face near the camera costs one run.
    """

    def __init__(self, model: Model, min_score: float = 0.5, min_overlap: float = 0.3) -> None:
        """`min_score` is the least probability of a face; boxes whose overlap exceeds `min_overlap` are one face."""
        self._model = model
        self._min_score = min_score
        self._min_overlap = min_overlap
        self._anchors = anchors()

    def detect(self, rgb: ByteArray) -> list[FaceBox]:
        """Faces of an upright picture (height, width, 3) of any size, the most certain first."""
        height, width = rgb.shape[:2]
        values, scores = self._read(rgb, Region(width / 2, height / 2, float(max(width, height))))
        large = values[:, 1, 1] - values[:, 0, 1] >= _LARGE * min(width, height)
        if not (large & (scores >= _CERTAIN)).any():
            # Small faces are better told apart in the squares, so of the whole picture only large ones still count.
            looks = [(values[large], scores[large]), *(self._read(rgb, end) for end in _ends(width, height))]
            values, scores = (np.concatenate(parts) for parts in zip(*looks, strict=True))
        return [_face_box(points, score) for points, score in _blend(values, scores, self._min_overlap)]

    def _read(self, rgb: ByteArray, region: Region) -> tuple[FloatArray, FloatArray]:
        """What one run says of a region: (n, 8, 2) pixels of the picture, and scores (n,)."""
        outputs = self._model.run({"image": _input(rgb, region)[None]})
        scores = outputs["scores"][0]
        likely = scores >= self._min_score
        points = _decode(outputs["boxes"][0][likely], self._anchors[likely])
        return region.to_picture(points.reshape(-1, 2), SIDE_PX).reshape(-1, 8, 2), scores[likely]


def _ends(width: int, height: int) -> tuple[Region, Region]:
    """The squares at both ends of the longer side."""
    half = min(width, height) / 2
    return Region(half, half, 2 * half), Region(width - half, height - half, 2 * half)


def _decode(raw: FloatArray, centres: FloatArray) -> FloatArray:
    """(n, 8, 2) pixels of the input: upper left, lower right, six keypoints."""
    values: FloatArray = raw.reshape(-1, 8, 2) + centres[:, None]
    half = raw[:, 2:4] / 2
    values[:, 1] = values[:, 0] + half
    values[:, 0] -= half
    return values


def _input(rgb: ByteArray, region: Region) -> FloatArray:
    """(128, 128, 3) in -1..1, black beside the picture."""
    crop = resample(rgb, region, SIDE_PX)
    for axis, length in enumerate(rgb.shape[:2]):
        margin = round((1 - length / region.side_px) * SIDE_PX / 2)
        if margin > 0:
            beside = np.moveaxis(crop, axis, 0)
            beside[:margin] = 0
            beside[SIDE_PX - margin :] = 0
    return crop * np.float32(1 / 127.5) - np.float32(1)


def _blend(values: FloatArray, scores: FloatArray, min_overlap: float) -> list[tuple[FloatArray, float]]:
    """Of each group of boxes that overlap the best of them, the mean by score (8, 2) and the best score."""
    left = np.argsort(-scores)
    blended = []
    while len(left):
        best = left[0]
        same = _overlaps(values[best], values[left]) > min_overlap
        same[0] = True  # even where the box has no area
        group = left[same]
        weights = scores[group] / scores[group].sum()
        blended.append((np.tensordot(weights, values[group], 1), float(scores[best])))
        left = left[~same]
    return blended


def _overlaps(box: FloatArray, boxes: FloatArray) -> FloatArray:
    """Intersection over union of one box with each of (n, 8, 2)."""
    inner = np.minimum(box[1], boxes[:, 1]) - np.maximum(box[0], boxes[:, 0])
    shared = inner.clip(min=0).prod(axis=1)
    union = (box[1] - box[0]).prod() + (boxes[:, 1] - boxes[:, 0]).prod(axis=1) - shared
    overlaps: FloatArray = shared / np.maximum(union, np.float32(1e-6))
    return overlaps


def _face_box(points: FloatArray, score: float) -> FaceBox:
    (left, top), (right, bottom) = points[0], points[1]
    return FaceBox(float(left), float(top), float(right - left), float(bottom - top), score, points[2:])
