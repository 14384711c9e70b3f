"""Finding faces in real pictures of every size."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidecar.affine import Region, resample
from sidecar.inference.blazeface import FaceDetector, anchors
from sidecar.types import ByteArray
from tests.faces import clip, detector, portrait


class Said:
    """A network that says what it is told, and counts its calls."""

    def __init__(self, boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
        self._outputs = {"boxes": boxes[None], "scores": scores[None]}
        self.inputs: list[NDArray[Any]] = []

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        self.inputs.append(inputs["image"])
        return self._outputs


def said(anchor_scores: Mapping[int, float], width: float = 60.0) -> Said:
    """Boxes of `width` px centred on each anchor named, with keypoints at the anchor."""
    boxes, scores = np.zeros((896, 16), np.float32), np.zeros(896, np.float32)
    boxes[:, 2:4] = width
    for anchor, score in anchor_scores.items():
        scores[anchor] = score
    return Said(boxes, scores)


def frame(picture: ByteArray, face_px: float, height: int = 180, width: int = 320) -> ByteArray:
    """The portrait before a grey wall, its face (110 px of 512) `face_px` wide."""
    side = round(512 * face_px / 110)
    small = resample(picture, Region(256, 256, 512), side).astype(np.uint8)
    wall = np.full((max(height, side), max(width, side), 3), 90, np.uint8)
    top, left = (wall.shape[0] - side) // 2, (wall.shape[1] - side) // 2
    wall[top : top + side, left : left + side] = small
    return wall[:height, :width]


def test_anchors_are_those_of_the_paper() -> None:
    centres = anchors()
    assert centres.shape == (896, 2)
    np.testing.assert_array_equal(centres[[0, 1, 2, 511, 512, 517, 518]][:, 0], [4, 4, 12, 124, 8, 8, 24])


def test_the_face_of_a_portrait_is_where_it_is() -> None:
    (box,) = detector().detect(portrait())
    assert box.score > 0.8
    x, y = box.centre
    assert abs(x - 220) < 15
    assert abs(y - 120) < 20
    right_eye, left_eye, nose, mouth = box.keypoints[:4]
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_eye[1] < nose[1] < mouth[1]


def test_small_faces_are_found_by_a_second_look() -> None:
    for face_px in (64, 40, 28):
        boxes = detector().detect(frame(portrait(), face_px))
        assert len(boxes) == 1
        assert 0.6 < boxes[0].width_px / face_px < 1.6


def test_a_group_is_told_apart() -> None:
    (picture,) = clip("multi_face.jpg")
    boxes = detector().detect(picture)
    assert len([box for box in boxes if box.score > 0.7]) == 5
    assert all(one is other or one.overlap(other) < 0.3 for one in boxes for other in boxes)


def test_pictures_of_any_size_can_be_read() -> None:
    assert detector().detect(np.zeros((1, 1, 3), np.uint8)) == []
    large = np.repeat(np.repeat(portrait(), 5, axis=0), 5, axis=1)[:2160]
    (box,) = detector().detect(large)
    assert abs(box.centre[0] - 220 * 5) < 75


def test_overlapping_boxes_are_blended_by_score() -> None:
    model = said({0: 0.9, 2: 0.6})  # anchors at x = 4 and x = 12
    (box,) = FaceDetector(model).detect(np.zeros((128, 128, 3), np.uint8))
    assert abs(box.keypoints[0, 0] - (4 * 0.9 + 12 * 0.6) / 1.5) < 1e-3
    assert box.score == np.float32(0.9)
    assert len(model.inputs) == 1, "a certain, large face needs no second look"


def test_doubtful_and_missing_faces_are_looked_for_in_both_ends() -> None:
    doubtful, none = said({0: 0.6}), said({})
    FaceDetector(doubtful).detect(np.zeros((90, 160, 3), np.uint8))
    assert FaceDetector(none).detect(np.zeros((90, 160, 3), np.uint8)) == []
    assert len(doubtful.inputs) == len(none.inputs) == 3


def test_the_picture_is_letterboxed_and_scaled() -> None:
    model = said({0: 0.9})
    FaceDetector(model).detect(np.full((90, 160, 3), 255, np.uint8))
    (image,) = model.inputs[0]
    assert image.shape == (128, 128, 3)
    assert (image[28:100] == 1).all()
    assert (image[:27] == -1).all()
