"""The mesh over real faces: in place, steady when followed, honest where there is no face."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidecar.faces import FaceBox, FaceLandmarks
from sidecar.inference.face_mesh import FaceMesh
from tests.faces import clip, detector, found, mesh, portrait, turned


def five(face: FaceLandmarks) -> np.ndarray:
    """Outer corners of the eyes, nose tip, corners of the mouth."""
    return face.points[[33, 263, 1, 61, 291], :2]


def test_the_mesh_lies_on_the_detectors_keypoints() -> None:
    (box,) = detector().detect(portrait())
    face = mesh().landmarks(portrait(), box)
    assert face.points.shape == (468, 3)
    assert face.presence > 0.9
    np.testing.assert_allclose(face.box.keypoints[:4], box.keypoints[:4], atol=0.1 * box.width_px)


def test_following_the_mesh_stays_on_the_face() -> None:
    face = found(portrait())
    again = mesh().landmarks(portrait(), face.box)
    assert np.abs(again.points - face.points).mean() < 0.02 * face.box.width_px


def test_a_head_on_its_side_is_read_as_well_as_upright() -> None:
    upright = five(found(portrait()))
    lying = turned(portrait(), 40)
    face = found(lying)
    assert face.presence > 0.9
    span = np.linalg.norm(upright[0] - upright[1])
    angle = np.radians(40)
    back = (five(face) - 256) @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) + 256
    np.testing.assert_allclose(back, upright, atol=0.12 * span)


def test_there_is_no_presence_on_a_wall() -> None:
    (picture,) = clip("single_face.jpg")
    corner = FaceBox(10, 10, 90, 90, 0.9, np.array([[35, 45], [75, 45], [55, 60], [55, 80], [15, 50], [95, 50]]))
    assert mesh().landmarks(picture, corner).presence < 0.5
    assert mesh().landmarks(np.zeros((1, 1, 3), np.uint8), corner).presence < 0.5


def test_depth_has_the_nose_before_the_ears() -> None:
    points = found(portrait()).points
    assert points[1, 2] < points[33, 2] < points[234, 2]


def test_a_slight_tilt_is_read_as_well_without_turning_the_crop() -> None:
    for degrees in (-9, -6):  # the portrait itself leans 4 degrees to the other side
        tilted = turned(portrait(), degrees)
        face = found(tilted)
        again = mesh().landmarks(tilted, face.box)
        span = np.linalg.norm(face.points[33] - face.points[263])
        assert np.abs(again.points - face.points).mean() < 0.02 * span


def test_landmarks_that_are_no_numbers_are_no_face() -> None:
    class Broken:
        def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
            return {"landmarks": np.full((1, 468, 3), np.inf, np.float32), "presence": np.ones((1, 1), np.float32)}

    (box,) = detector().detect(portrait())
    assert FaceMesh(Broken()).landmarks(portrait(), box).presence == 0
