"""The mesh over real faces: in place, steady when followed, honest where there is no face."""

import numpy as np

from sidecar.faces import FaceBox, FaceLandmarks
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
