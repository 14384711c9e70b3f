"""People stay people and drawings drawings, on pictures that training did not see; single bad frames do not count."""

import numpy as np
import pytest

from models.evaluate.drawn_cases import worn
from models.train.drawing_styles import HELD_OUT
from models.train.drawings import paint
from sidecar.faces import FaceLandmarks
from sidecar.media import drawn_face
from sidecar.media.drawn_face import DrawnFace, DrawnFaceOptions, drawn_log_odds
from sidecar.media.face_crop import aligned_luma
from sidecar.types import ByteArray
from tests.faces import clip, detector, found, mesh, portrait

ENTER = DrawnFaceOptions().enter
FACE = FaceLandmarks(np.zeros((468, 3), np.float32), 1.0)
LUMA = np.zeros((48, 48), np.uint8)


def log_odds(rgb: ByteArray) -> float:
    face = found(rgb)
    value = drawn_log_odds(aligned_luma(rgb, face), face)
    assert value is not None
    return value


@pytest.mark.parametrize("wear", ["clean", "dark", "noise", "blur", "smoothed", "grey", "cast", "h264", "vp8", "jpeg"])
def test_a_portrait_is_no_drawing_however_bad_the_camera(wear: str) -> None:
    random = np.random.default_rng(3)
    assert max(log_odds(worn(portrait(), wear, random)) for _ in range(3)) < 0


@pytest.mark.parametrize("name", ["lbbc2a.mpg", "lwbsza.mpg", "single_face.jpg", "WolfgangLanger_Pexels.mp4"])
def test_people_are_no_drawings(name: str) -> None:
    assert max(log_odds(frame) for frame in clip(name, every=60)) < 0


@pytest.mark.parametrize("style", HELD_OUT)
def test_drawings_of_styles_that_were_not_learnt_are_drawings(style: str) -> None:
    random, values = np.random.default_rng(4), []
    for _ in range(12):
        drawing = paint(style, random)
        for box in detector().detect(drawing)[:1]:
            face = mesh().landmarks(drawing, box)
            value = drawn_log_odds(aligned_luma(drawing, face), face)
            values += [] if value is None else [value]
    assert len(values) >= 6
    assert np.mean(np.array(values) > ENTER) >= 0.9


def test_a_face_turned_away_is_not_judged() -> None:
    turned = np.radians(70)
    points = found(portrait()).points.copy()
    centre = points.mean(axis=0)
    rotation = np.array([[np.cos(turned), 0, np.sin(turned)], [0, 1, 0], [-np.sin(turned), 0, np.cos(turned)]])
    away = FaceLandmarks(((points - centre) @ rotation.T + centre).astype(np.float32), 1.0)
    assert drawn_log_odds(LUMA, away) is None


def judged(
    monkeypatch: pytest.MonkeyPatch, scores: list[float | None], tracklets: list[int] | None = None
) -> list[bool]:
    """The verdict at each of frames half a second apart."""
    given = iter(scores)
    monkeypatch.setattr(drawn_face, "drawn_log_odds", lambda luma, face: next(given))
    judge = DrawnFace(DrawnFaceOptions())
    numbers = tracklets or [1] * len(scores)
    return [judge.judge(LUMA, FACE, number, 0.5 * index) for index, number in enumerate(numbers)]


def test_the_first_frame_is_enough_for_a_clear_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(monkeypatch, [5.0, 5.0]) == [True, True]


def test_one_bad_frame_does_not_make_a_person_a_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(monkeypatch, [-4.0, 3.0, -4.0, -4.0, 6.0, -4.0]) == [False] * 6


def test_the_verdict_does_not_flicker_about_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(monkeypatch, [2.0, 0.3, -0.2, 0.3, -0.2]) == [True] * 5
    assert judged(monkeypatch, [-2.0, 0.4, 0.2, 0.4, 0.4]) == [False] * 5


def test_a_new_face_is_judged_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawing held before the camera, then taken away."""
    assert judged(monkeypatch, [6.0, 6.0, -4.0, -4.0], [1, 1, 2, 2]) == [True, True, False, False]


def test_the_verdict_holds_while_nothing_can_be_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(monkeypatch, [6.0, None, None]) == [True] * 3


def test_looks_are_spaced(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(drawn_face, "drawn_log_odds", lambda luma, face: looks.append(1) or -4.0)
    judge = DrawnFace(DrawnFaceOptions())
    for frame in range(20):
        judge.judge(LUMA, FACE, 1, frame / 10)
    assert len(looks) == 5


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_face, "drawn_log_odds", lambda luma, face: 6.0)
    assert not DrawnFace(DrawnFaceOptions(enabled=False)).judge(LUMA, FACE, 1, 0.0)
