"""What the shipped pack makes of real faces."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from models.evaluate.drawn_cases import framed, worn
from models.train.drawing_styles import HELD_OUT
from models.train.drawings import paint
from sidecar.media.drawn_face import DrawnFaceOptions
from sidecar.stages.face import FaceOptions
from sidecar.types import EMOTIONS, Modality
from tests.product.reading import analyse_file, pictures_of, read_person, shipped_engines, sound_of

HAPPINESS = EMOTIONS.index("happiness")
EACH = 40


def still(image, side=120, size=(320, 180)):
    """A 48 x 48 grey face as it would stand in a call's lowest layer."""
    picture = np.full((size[1], size[0], 3), 110, np.uint8)
    face = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
    top, left = (size[1] - side) // 2, (size[0] - side) // 2
    picture[top : top + side, left : left + side] = face[..., None]
    return picture


def auroc(positive, negative):
    """Probability that a positive scores above a negative (Mann and Whitney 1947)."""
    pairs = np.subtract.outer(positive, negative)
    return float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


async def test_smiling_and_distressed_stills_are_told_apart(data_root):
    faces = np.load(data_root / "face" / "ferplus_test.npz")
    votes = faces["votes"].astype(float)
    agreed = votes.max(axis=1) >= 0.8 * votes.sum(axis=1)
    smiling = faces["images"][agreed & (votes.argmax(axis=1) == 1)]
    distressed = faces["images"][agreed & np.isin(votes.argmax(axis=1), (3, 6))]
    scores: dict[str, list[float]] = {"smiling": [], "distressed": []}
    async with shipped_engines() as engines:
        for name, images in (("smiling", smiling), ("distressed", distressed)):
            for image in images[:EACH]:
                estimate = await read_person(engines, [still(image)] * 3)
                if estimate is not None:
                    scores[name].append(float(estimate.emotions[HAPPINESS]))
    assert min(map(len, scores.values())) > EACH / 2
    assert auroc(scores["smiling"], scores["distressed"]) >= 0.9


@pytest.mark.parametrize("damage", ["blur", "darkness", "noise"])
async def test_quality_and_share_fall_with_each_step_of_damage(data_root, damage):
    clean = pictures_of(data_root / "clips" / "lbbc2a.mpg", 6)
    sound = sound_of(data_root / "clips" / "jfk.flac")[: 16_000 * 3 + 1600]
    random = np.random.default_rng(7)

    def damaged(picture, step):
        if damage == "blur":
            return gaussian_filter(picture, (1.2 * step, 1.2 * step, 0))
        if damage == "darkness":
            return (picture * 0.55**step).astype(np.uint8)
        return np.clip(picture + random.normal(0, 9 * step, picture.shape), 0, 255).astype(np.uint8)

    qualities, shares = [], []
    async with shipped_engines() as engines:
        for step in range(4):
            pictures = [damaged(picture, step) for picture in clean] * 3
            estimate = await read_person(engines, pictures, sound)
            evidence = estimate.evidence.get(Modality.FACE) if estimate else None
            if evidence is None:  # too damaged to be found at all: the end of the ladder
                break
            assert Modality.VOICE in estimate.evidence
            qualities.append(evidence.quality)
            shares.append(evidence.share)
    assert len(qualities) >= 3
    assert all(after < before for before, after in pairwise(qualities))
    assert all(after < before for before, after in pairwise(shares))


async def test_a_picture_of_any_size_is_taken(data_root):
    [face] = pictures_of(data_root / "clips" / "single_face.jpg", 1)
    large = np.asarray(Image.fromarray(face).resize((3840, 2160)))
    async with shipped_engines() as engines:
        assert await read_person(engines, [large] * 2) is not None
        for picture in (face[:1, :1], np.zeros((180, 320, 3), np.uint8)):
            assert await read_person(engines, [picture] * 2) is None


async def test_an_empty_chair_is_said_to_be_one(data_root, tmp_path):
    sink = await analyse_file(data_root / "clips" / "no_face.mp4", "face", tmp_path)
    assert sink.data("estimate") == []
    said = [change["reason"] for change in sink.data("participant") if change["modality"] == "face"]
    assert said[-1] == "no_face"


async def test_comparable_faces_are_not_read(data_root, tmp_path):
    sink = await analyse_file(data_root / "clips" / "multi_face.jpg", "face", tmp_path)
    assert sink.data("estimate") == []
    assert sink.data("participant")[-1]["reason"] == "ambiguous_face"


async def test_a_drawn_face_is_not_read(data_root, tmp_path):
    cartoon = data_root.parent / "cases" / "cartoon.mp4"
    if not cartoon.is_file():
        pytest.skip(f"no {cartoon}")
    sink = await analyse_file(cartoon, "face", tmp_path)
    assert sink.data("estimate") == []
    assert [change["reason"] for change in sink.data("participant") if change["modality"] == "face"][-1] == "no_face"


async def test_drawings_of_styles_that_were_not_learnt_are_hardly_ever_read():
    random, read = np.random.default_rng(11), 0
    async with shipped_engines() as engines:
        for style in HELD_OUT:
            for _ in range(5):
                drawing = framed(paint(style, random), np.full(3, 200, np.uint8), random)
                worn_drawing = worn(drawing, "h264", random)
                read += await read_person(engines, [drawing, worn_drawing] * 4) is not None
    assert read <= 1


async def test_voice_is_read_beside_a_drawn_face(data_root):
    drawing = framed(paint("outlined", np.random.default_rng(5)), np.full(3, 255, np.uint8), np.random.default_rng(5))
    sound = sound_of(data_root / "clips" / "jfk.flac")[: 16_000 * 3 + 1600]
    async with shipped_engines() as engines:
        estimate = await read_person(engines, [drawing] * 15, sound)
    assert set(estimate.evidence) == {Modality.VOICE}
    assert estimate.evidence[Modality.VOICE].share == 1


@pytest.mark.parametrize("name", ["lbbc2a.mpg", "brbk7n.mpg", "WolfgangLanger_Pexels.mp4", "single_face.jpg"])
async def test_people_are_read_as_if_drawings_were_not_looked_for(data_root, name):
    pictures = pictures_of(data_root / "clips" / name, 30)
    async with (
        shipped_engines() as engines,
        shipped_engines(face=FaceOptions(drawn=DrawnFaceOptions(enabled=False))) as plain,
    ):
        with_it, without = [
            await read_person(each, pictures * (1 if len(pictures) > 1 else 5)) for each in (engines, plain)
        ]
    np.testing.assert_array_equal(with_it.emotions, without.emotions)
    assert with_it.evidence[Modality.FACE].quality == without.evidence[Modality.FACE].quality
