"""FER+: votes to labels and to training targets."""

import numpy as np
import pytest

from models.datasets import data_root, ferplus
from models.datasets.ferplus import LABELS, FerPlus
from sidecar.types import EMOTIONS

present = pytest.mark.skipif(not (data_root() / "face").is_dir(), reason="FER+ is not in the data folder")


def votes(**counts: int) -> list[int]:
    return [counts.get(name, 0) for name in (*LABELS, "unknown", "nothing")]


def corpus(*rows: list[int]) -> FerPlus:
    images = np.arange(len(rows), dtype=np.uint8)[:, None, None].repeat(48, 1).repeat(48, 2)
    return FerPlus(images, np.array(rows, np.uint8))


def test_labels_are_the_base_emotions_in_their_order() -> None:
    assert tuple(str(emotion) for emotion in EMOTIONS) == LABELS


def test_an_image_that_most_cannot_name_has_no_label() -> None:
    data = corpus(votes(anger=6, unknown=4), votes(anger=4, unknown=6), votes(nothing=10), votes(fear=5, unknown=5))
    kept = data.labelled()
    assert kept.images[:, 0, 0].tolist() == [0, 3]
    assert kept.labels().tolist() == [LABELS.index("anger"), LABELS.index("fear")]


def test_a_single_vote_is_an_outlier_unless_there_is_nothing_else() -> None:
    shares = corpus(votes(sadness=6, fear=3, disgust=1), votes(sadness=1, fear=1)).distributions()
    assert shares[0, LABELS.index("sadness")] == pytest.approx(2 / 3)
    assert shares[0, LABELS.index("disgust")] == 0
    assert shares[1, [LABELS.index("sadness"), LABELS.index("fear")]].tolist() == [0.5, 0.5]
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)


@present
def test_the_splits_share_no_image() -> None:
    seen: set[bytes] = set()
    for split, size in (("valid", 3510), ("test", 3556), ("train", 26804)):
        data = ferplus.load(split)
        assert data.images.shape == (size, 48, 48)
        assert data.votes.shape == (size, 10)
        faces = {image.tobytes() for image in data.images}
        assert not faces & seen
        seen |= faces


@present
def test_training_targets_point_at_the_label() -> None:
    data = ferplus.load("valid").labelled()
    assert (data.distributions().argmax(1) == data.labels()).all()
