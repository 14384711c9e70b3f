"""One tracklet through motion and occlusion, the main face among several, and the detector run only when it must."""

from dataclasses import replace

import numpy as np

from sidecar.affine import Region, resample
from sidecar.faces import FaceBox, FaceLandmarks
from sidecar.media.face_tracklet import FaceTrackletOptions, FaceTracklets, Sighting
from sidecar.types import ByteArray, Missing
from tests.faces import clip, detector, mesh, portrait

FRAME = np.zeros((180, 320, 3), np.uint8)
FPS = 5


def face_at(x: float, y: float = 90, side: float = 60) -> FaceBox:
    keypoints = np.array([[-15, -10], [15, -10], [0, 0], [0, 15], [-30, -5], [30, -5]]) + np.array([x, y])
    return FaceBox(x - side / 2, y - side / 2, side, side, 0.9, keypoints.astype(np.float32))


class Scene:
    """A detector and a mesh over the same faces, which the test moves. The mesh finds what is near where it looks."""

    def __init__(self, *faces: FaceBox) -> None:
        self.faces = list(faces)
        self.seen_by_detector = True
        self.meshed: list[FaceBox] = []

    def detect(self, rgb: ByteArray) -> list[FaceBox]:
        return list(self.faces) if self.seen_by_detector else []

    def landmarks(self, rgb: ByteArray, box: FaceBox) -> FaceLandmarks:
        self.meshed.append(box)
        near = [face for face in self.faces if face.overlap(box) > 0.3]
        points = np.zeros((468, 3), np.float32)
        if near:
            half = near[0].width_px / 2
            points[:, :2] = np.random.default_rng(0).uniform(-half, half, (468, 2)) + np.array(near[0].centre)
        return FaceLandmarks(points, 0.99 if near else 0.01)


def play(tracklets: FaceTracklets, start: int, frames: int) -> list[Sighting]:
    return [tracklets.follow(FRAME, index / FPS) for index in range(start, start + frames)]


def make(scene: Scene) -> FaceTracklets:
    return FaceTracklets(scene, scene)


def test_the_detector_runs_once_a_second_while_the_mesh_follows() -> None:
    tracklets = make(Scene(face_at(160)))
    sightings = play(tracklets, 0, 50)
    assert all(sighting.face is not None and sighting.tracklet == 1 for sighting in sightings)
    statistics = tracklets.statistics()
    assert statistics.frames == 50
    assert statistics.detector_runs == 10
    assert statistics.tracked_frames == 40


def test_a_moving_face_is_one_tracklet() -> None:
    scene = Scene(face_at(60))
    tracklets = make(scene)
    for index in range(20):
        scene.faces = [face_at(60 + 10 * index)]
        sighting = tracklets.follow(FRAME, index / FPS)
        assert sighting.face is not None
        assert abs(sighting.face.box.centre[0] - (60 + 10 * index)) < 5
    assert sighting.tracklet == 1


def test_a_hidden_face_comes_back_as_itself_within_a_second() -> None:
    scene = Scene(face_at(160))
    tracklets = make(scene)
    play(tracklets, 0, 6)
    scene.faces = []
    hidden = play(tracklets, 6, 4)
    assert all(sighting.missing is Missing.NO_FACE and sighting.face is None for sighting in hidden)
    scene.faces = [face_at(170)]
    (back,) = play(tracklets, 10, 1)
    assert back.face is not None
    assert back.tracklet == 1


def test_a_face_that_comes_after_longer_or_elsewhere_is_another() -> None:
    scene = Scene(face_at(160))
    tracklets = make(scene)
    play(tracklets, 0, 6)
    scene.faces = []
    play(tracklets, 6, 10)
    scene.faces = [face_at(160)]
    late = play(tracklets, 16, 5)
    assert late[-1].tracklet == 2
    scene.faces = [face_at(280)]
    assert play(tracklets, 21, 2)[-1].tracklet == 3


def test_a_lost_face_is_looked_for_at_once_and_then_more_slowly() -> None:
    scene = Scene(face_at(160))
    tracklets = make(scene)
    play(tracklets, 0, 3)
    scene.faces = []
    play(tracklets, 3, 1)
    assert tracklets.statistics().detector_runs == 2, "the frame that loses the face is already searched"
    play(tracklets, 4, 5)
    before = tracklets.statistics().detector_runs
    play(tracklets, 9, 30)
    assert tracklets.statistics().detector_runs - before <= 15


def test_two_comparable_faces_are_ambiguous_and_get_no_landmarks() -> None:
    scene = Scene(face_at(80), face_at(240, side=52))
    sightings = play(make(scene), 0, 10)
    assert all(sighting.missing is Missing.AMBIGUOUS_FACE and sighting.face is None for sighting in sightings)
    assert scene.meshed == []


def test_a_bystander_is_a_box_and_never_a_mesh() -> None:
    scene = Scene(face_at(160, side=80), face_at(280, side=40))
    sightings = play(make(scene), 0, 12)
    assert all(sighting.face is not None and len(sighting.bystanders) == 1 for sighting in sightings)
    assert all(box.overlap(face_at(160, side=80)) > 0.3 for box in scene.meshed)


def test_a_second_person_who_joins_makes_it_ambiguous_within_a_second() -> None:
    scene = Scene(face_at(100))
    tracklets = make(scene)
    play(tracklets, 0, 10)
    scene.faces.append(face_at(240))
    sightings = play(tracklets, 10, 6)
    assert sightings[-1].missing is Missing.AMBIGUOUS_FACE
    scene.faces = scene.faces[:1]
    assert play(tracklets, 16, 6)[-1].face is not None


def test_the_main_face_is_not_given_up_for_one_that_is_a_little_larger() -> None:
    options = FaceTrackletOptions(ambiguous_ratio=1.0)  # never ambiguous: hysteresis alone decides
    scene = Scene(face_at(120, side=60))
    tracklets = FaceTracklets(scene, scene, options)
    play(tracklets, 0, 6)
    scene.faces.append(face_at(200, side=66))
    assert {sighting.tracklet for sighting in play(tracklets, 6, 10)} == {1}
    scene.faces[1] = face_at(200, side=110)
    last = play(tracklets, 16, 6)[-1]
    assert last.tracklet == 2
    assert last.face is not None
    assert abs(last.face.box.centre[0] - 200) < 10


def test_a_mesh_that_no_detection_confirms_is_given_up() -> None:
    scene = Scene(face_at(160))
    tracklets = make(scene)
    play(tracklets, 0, 6)
    scene.seen_by_detector = False
    unconfirmed = play(tracklets, 6, 40)
    assert unconfirmed[5].face is not None, "a detector may miss a profile for a while"
    assert unconfirmed[-1].missing is Missing.NO_FACE


def test_a_presence_that_is_no_number_is_no_face() -> None:
    class Broken(Scene):
        def landmarks(self, rgb: ByteArray, box: FaceBox) -> FaceLandmarks:
            return replace(super().landmarks(rgb, box), presence=float("nan"))

    assert play(make(Broken(face_at(160))), 0, 1)[0].missing is Missing.NO_FACE


def test_real_pictures_a_head_that_moves_hides_and_returns() -> None:
    tracklets = FaceTracklets(detector(), mesh())
    for index in range(15):
        view = Region(256 + 6 * index, 200 + 2 * index, 420, 0.01 * index)
        frame = resample(portrait(), view, 240).astype(np.uint8)
        if 7 <= index < 10:
            frame[:] = 90
        sighting = tracklets.follow(frame, index / FPS)
        assert (sighting.face is None) == (7 <= index < 10)
        assert sighting.tracklet == 1
    assert tracklets.statistics().tracked_frames >= 8


def test_real_pictures_of_any_size_and_of_nobody() -> None:
    tracklets = FaceTracklets(detector(), mesh())
    assert tracklets.follow(np.zeros((1, 1, 3), np.uint8), 0.0).missing is Missing.NO_FACE
    large = np.repeat(np.repeat(portrait(), 5, axis=0), 5, axis=1)[:2160]
    assert tracklets.follow(large, 1.0).face is not None
    (group,) = clip("multi_face.jpg")
    assert FaceTracklets(detector(), mesh()).follow(group, 0.0).missing is Missing.AMBIGUOUS_FACE


def test_a_real_talking_head_is_followed_and_an_empty_room_is_empty() -> None:
    tracklets = FaceTracklets(detector(), mesh())
    talking = [tracklets.follow(rgb, index / FPS) for index, rgb in enumerate(clip("lbax4n.mpg", every=5))]
    assert all(sighting.face is not None and sighting.tracklet == 1 for sighting in talking)
    assert tracklets.statistics().detector_runs <= 4
    empty = FaceTracklets(detector(), mesh())
    frames = clip("no_face.mp4", every=5)
    seen = [empty.follow(rgb, index / FPS).face is not None for index, rgb in enumerate(frames)]
    assert np.mean(seen) < 0.1
