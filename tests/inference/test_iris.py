"""Eyes of real faces: in place, the two alike under a mirror."""

import numpy as np

from sidecar.types import ByteArray
from tests.faces import eyes, found, portrait


def lids_and_irises(picture: ByteArray) -> tuple[np.ndarray, np.ndarray]:
    """(2, 16, 2) and (2, 5, 2), right eye first."""
    both = eyes(picture, found(picture))
    return np.stack([both.right.lids, both.left.lids]), np.stack([both.right.iris, both.left.iris])


def test_lids_begin_at_the_temple_and_go_round_by_the_lower_lid() -> None:
    face = found(portrait())
    lids, _ = lids_and_irises(portrait())
    for eye, (outer, inner) in zip(lids, ((33, 133), (263, 362)), strict=True):
        width = np.linalg.norm(eye[0] - eye[8])
        np.testing.assert_allclose(eye[[0, 8]], face.points[[outer, inner], :2], atol=0.25 * width)
        assert eye[4, 1] > eye[12, 1], "the lower lid is below the upper"


def test_irises_lie_between_the_lids() -> None:
    lids, irises = lids_and_irises(portrait())
    for eye, iris in zip(lids, irises, strict=True):
        low, high = eye.min(axis=0), eye.max(axis=0)
        assert (low < iris[0]).all()
        assert (iris[0] < high).all()
        radius = np.linalg.norm(iris[1:] - iris[0], axis=1).mean()
        assert 0.15 < radius / np.linalg.norm(eye[0] - eye[8]) < 0.35


def test_in_a_mirror_the_eyes_change_places() -> None:
    lids, irises = lids_and_irises(portrait())
    mirrored_lids, mirrored_irises = lids_and_irises(np.ascontiguousarray(portrait()[:, ::-1]))
    width = np.linalg.norm(lids[0, 0] - lids[0, 8])
    for here, there in ((lids, mirrored_lids), (irises[:, :1], mirrored_irises[:, :1])):
        back = there[::-1] * [-1, 1] + [512, 0]
        np.testing.assert_allclose(back, here, atol=0.2 * width)
