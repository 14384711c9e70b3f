"""Cues on real faces: in a mirror, under turns made by arithmetic, on faces known to smile or to shut their eyes."""

import numpy as np
import pytest

from sidecar.faces import EyePoints, Eyes, FaceLandmarks
from sidecar.media.face_cues import FaceCues, eye_cues
from sidecar.media.face_pose import MEAN_HEAD, RIGID, HeadPose, similarity, turned_to_camera
from sidecar.types import ByteArray
from tests.faces import clip, eyes, found, portrait

SHARES = ("smile", "brow_furrow", "eyes_open", "mouth_open", "gaze_on")


def read(rgb: ByteArray) -> dict[str, float]:
    face = found(rgb)
    return FaceCues().read(face, eyes(rgb, face), 0.0)


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Of a head, in degrees, in the picture's axes: right, down, away from the camera."""
    y, p, r = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    tilt = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return tilt @ turn @ nod


def rotated(face: FaceLandmarks, matrix: np.ndarray) -> FaceLandmarks:
    middle = face.points[RIGID].mean(axis=0)
    return FaceLandmarks(((face.points - middle) @ matrix.T + middle).astype(np.float32), 1.0)


def mean_face() -> FaceLandmarks:
    """A mesh whose rigid points are the mean head's, 60 px between the eyes."""
    points = np.zeros((468, 3), np.float32)
    points[RIGID] = MEAN_HEAD * 60 + 100
    return FaceLandmarks(points, 1.0)


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (30, 0, 0), (-40, 0, 0), (0, 20, 0), (0, -25, 0), (0, 0, 35), (20, 10, -15)]
)
def test_the_pose_of_a_turned_mean_head_is_the_turn(angles: tuple[float, float, float]) -> None:
    yaw, pitch, roll = angles
    _, pose = turned_to_camera(rotated(mean_face(), rotation(yaw, pitch, roll)))
    assert pose.yaw_deg == pytest.approx(yaw, abs=0.1)
    assert pose.pitch_deg == pytest.approx(pitch, abs=0.1)
    assert pose.roll_deg == pytest.approx(roll, abs=0.1)


def test_the_nose_tip_moves_where_the_head_turns() -> None:
    right, up = rotated(mean_face(), rotation(30, 0, 0)), rotated(mean_face(), rotation(0, 20, 0))
    nose = RIGID[8]  # the lowest of the bridge
    assert right.points[nose, 0] > mean_face().points[nose, 0], "a turn to the person's left is to the picture's right"
    assert up.points[nose, 1] < mean_face().points[nose, 1]


def test_the_similarity_is_found_again() -> None:
    random = np.random.default_rng(0)
    points, matrix = random.normal(size=(30, 3)), rotation(40, -20, 70)
    scale, found_rotation, shift = similarity(points, 2.5 * points @ matrix.T + [1, 2, 3])
    assert scale == pytest.approx(2.5)
    np.testing.assert_allclose(found_rotation, matrix, atol=1e-9)
    np.testing.assert_allclose(shift, [1, 2, 3], atol=1e-9)


def test_turning_the_mesh_changes_pose_and_gaze_but_not_the_expression() -> None:
    face = found(portrait())
    front = FaceCues().read(face, None, 0.0)
    aside = FaceCues().read(rotated(face, rotation(35, 0, 0)), None, 0.0)
    for name in ("smile", "brow_furrow", "mouth_open", "eyes_open"):
        assert aside[name] == pytest.approx(front[name], abs=0.02)
    assert aside["yaw_deg"] - front["yaw_deg"] == pytest.approx(35, abs=4)
    assert front["gaze_on"] > 0.9
    assert aside["gaze_on"] == 0


def test_a_mirror_changes_the_signs_of_yaw_and_roll_alone() -> None:
    cues, mirrored = read(portrait()), read(np.ascontiguousarray(portrait()[:, ::-1]))
    for name in SHARES:
        assert mirrored[name] == pytest.approx(cues[name], abs=0.2)
    assert mirrored["roll_deg"] == pytest.approx(-cues["roll_deg"], abs=2)
    assert mirrored["yaw_deg"] == pytest.approx(-cues["yaw_deg"], abs=3)


def test_all_shares_are_shares() -> None:
    for name in ("lbax4n.mpg", "WolfgangLanger_Pexels.mp4"):
        for rgb in clip(name, every=60):
            cues = read(rgb)
            assert all(0 <= cues[share] <= 1 for share in SHARES)
            assert set(cues) == {*SHARES, "yaw_deg", "pitch_deg", "roll_deg"}


def test_smiling_people_smile_and_talking_ones_do_not() -> None:
    (smiling,) = clip("single_face.jpg")
    talking = [
        read(clip(name, every=25)[0])["smile"] for name in ("brbk7n.mpg", "lbax4n.mpg", "pwij3p.mpg", "sbia1a.mpg")
    ]
    assert min(read(smiling)["smile"], read(portrait())["smile"]) > 0.9
    assert max(talking) < 0.4


def test_shut_and_lowered_eyes_are_told_from_open_ones() -> None:
    crying = clip("WolfgangLanger_Pexels.mp4", every=50)
    shut, opened = read(crying[1]), read(clip("lwbsza.mpg", every=50)[0])
    assert shut["eyes_open"] < 0.2
    assert shut["gaze_on"] < 0.2
    assert opened["eyes_open"] > 0.7
    assert opened["gaze_on"] > 0.8


def drawn_eye(openness: float, across: float, down: float) -> EyePoints:
    """An eye 30 px wide whose lids are an ellipse; the iris lies `across`, `down` of the width from the middle."""
    angle = np.pi - np.arange(16) / 8 * np.pi  # from the picture's left round by the lower lid
    lids = np.stack([15 * np.cos(angle), 15 * openness * np.sin(angle)], axis=1)
    return EyePoints(lids.astype(np.float32), np.tile(np.float32([30 * across, 30 * down]), (5, 1)))


def drawn_eyes(openness: float, across: float = 0.0, down: float = -0.057) -> Eyes:
    right, left = drawn_eye(openness, across, down), drawn_eye(openness, across, down)
    mirrored = left.lids[[8, *range(7, -1, -1), *range(15, 8, -1)]]  # the left eye's lids begin at its temple
    return Eyes(right, EyePoints(mirrored, left.iris))


def test_eyes_open_grows_with_the_opening() -> None:
    square = HeadPose(0, 0, 0)
    ladder = [eye_cues(drawn_eyes(openness), square).openness for openness in (0.05, 0.15, 0.2, 0.4)]
    assert ladder[0] == 0
    assert ladder[-1] == 1
    assert sorted(ladder) == ladder


def test_irises_to_the_right_of_the_picture_look_to_the_persons_left() -> None:
    square = HeadPose(0, 0, 0)
    aside, level, below = (
        eye_cues(drawn_eyes(0.4, across, down), square) for across, down in ((0.2, -0.057), (0, -0.057), (0, 0.1))
    )
    assert aside.yaw_deg == pytest.approx(30, abs=0.5)  # asin(0.2 / 0.4)
    assert level.yaw_deg == pytest.approx(0, abs=0.1)
    assert level.pitch_deg == pytest.approx(0, abs=0.1)
    assert below.pitch_deg < -15


def test_eyes_can_make_up_for_the_head() -> None:
    face = rotated(mean_face(), rotation(25, 0, 0))
    back = FaceCues().read(face, drawn_eyes(0.4, across=-0.4 * np.sin(np.radians(25))), 0.0)
    ahead = FaceCues().read(face, drawn_eyes(0.4), 0.0)
    assert back["gaze_on"] > 0.9
    assert ahead["gaze_on"] < 0.5


def test_the_eyes_are_asked_for_now_and_then_and_hold_in_between() -> None:
    cues, face = FaceCues(eyes_every_s=0.5), mean_face()
    assert cues.eyes_due(0.0)
    assert cues.read(face, drawn_eyes(0.0), 0.0)["eyes_open"] == 0
    assert [cues.eyes_due(time_s) for time_s in (0.2, 0.4, 0.5)] == [False, False, True]
    assert cues.read(face, None, 0.9)["eyes_open"] == 0
    portrait_cues = cues.read(found(portrait()), None, 2.0)
    assert portrait_cues["eyes_open"] > 0.3, "eyes of two seconds ago no longer count"
