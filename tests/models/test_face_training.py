"""The face recipe: schedule, augmentation, model, scores, calibration, and the published weights."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from models.datasets import data_root, ferplus
from models.datasets.corpus import Sample
from models.evaluate import face as evaluation
from models.evaluate.metrics import score
from models.train import face, face_augment
from models.train.face import FaceTask
from models.train.face_cases import Faces, only_shown, without_copies
from models.train.face_model import FaceVit, standardised
from models.train.face_publish import fit_temperature, free_energy
from models.train.loop import Schedule, fit
from models.train.losses import LossOptions
from sidecar.inference.pack import load_pack
from sidecar.types import Modality

present = pytest.mark.skipif(not (data_root() / "face").is_dir(), reason="FER+ is not in the data folder")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small batches on several threads wait for each other more than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_model(labels: int = 8) -> FaceVit:
    return FaceVit(labels=labels, width=16, depth=1, heads=2, stem=(4, 4, 8))


def gradient_faces(count: int) -> torch.Tensor:
    """A bright upper left corner: mirrored, turned and shifted faces differ."""
    row = torch.linspace(255, 0, 48)
    return ((row + row[:, None]) / 2).repeat(count, 1, 1, 1)


def test_pictures_grow_to_full_size() -> None:
    sides = [face.side_px(step / 20) for step in range(21)]
    assert sides == sorted(sides)
    assert (sides[0], sides[-1]) == (32, 48)


@pytest.mark.parametrize("kind", ["reframed", "dimmed", "softened", "compressed", "hidden"])
def test_each_augmentation_changes_faces_and_keeps_their_shape(kind: str) -> None:
    torch.manual_seed(0)
    faces = gradient_faces(64) * 0.5 + torch.rand(64, 1, 48, 48) * 100
    changed = getattr(face_augment, kind)(faces)
    assert changed.shape == faces.shape
    assert torch.isfinite(changed).all()
    assert (changed - faces).abs().mean() > 0.5


def test_reframing_stays_within_the_framing_error() -> None:
    torch.manual_seed(0)
    faces = torch.zeros(200, 1, 48, 48)
    faces[:, :, 22:26, 22:26] = 255
    moved = face_augment.reframed(faces)[:, 0]
    at = torch.arange(48.0) - 23.5
    mass = moved.sum((1, 2))
    offsets = torch.stack(((moved.sum(1) * at).sum(1), (moved.sum(2) * at).sum(1)), 1) / mass[:, None]
    limit = face_augment.SHIFT * 48 * (1 + face_augment.SCALE) * 1.25  # turning moves the corner of the range outwards
    assert 2 < offsets.abs().max() < limit


def test_coarse_coding_loses_fine_detail_and_keeps_the_mean_of_blocks() -> None:
    torch.manual_seed(0)
    faces = 128 + torch.randn(32, 1, 48, 48) * 3
    coded = face_augment.compressed(faces)
    assert coded.var() < faces.var()
    assert (coded.mean((1, 2, 3)) - faces.mean((1, 2, 3))).abs().max() < 2


def test_augmented_faces_are_luma() -> None:
    torch.manual_seed(0)
    worn = face_augment.augment((gradient_faces(128)).byte())
    assert worn.dtype == torch.float32
    assert worn.min() >= 0
    assert worn.max() <= 255


def test_exposure_makes_no_difference() -> None:
    faces = torch.rand(2, 1, 48, 48) * 100 + 20
    torch.testing.assert_close(standardised(faces * 0.5 + 10), standardised(faces), rtol=1e-4, atol=1e-4)
    assert standardised(torch.full((1, 1, 48, 48), 7.0)).abs().max() == 0


@pytest.mark.parametrize("side", [32, 40, 48])
def test_the_model_takes_the_sides_it_trains_on(side: int) -> None:
    outputs = small_model()(torch.randint(0, 256, (3, 1, side, side), dtype=torch.uint8))
    assert outputs.logits.shape == (3, 8)
    assert outputs.embedding.shape == (3, 16)


def faces(images: torch.Tensor, classes: torch.Tensor, vad: float = np.nan) -> Faces:
    targets = np.eye(2, dtype=np.float32)[classes.numpy()]
    return Faces(images.byte().numpy(), targets, np.full((len(images), 3), vad, np.float32))


def striped() -> Faces:
    stripes = (torch.arange(48) // 6 % 2 * 255).expand(48, 48)
    return faces(torch.stack([stripes, stripes.T] * 128), torch.tensor([0, 1] * 128))


def test_training_learns_to_tell_two_patterns_apart(tmp_path: Path) -> None:
    schedule = Schedule(epochs=6, peak_rate=1e-2, batch=64)
    task = FaceTask(small_model(labels=2), striped(), striped(), schedule, LossOptions())
    assert fit(task, schedule, tmp_path)[-1]["valid_accuracy"] > 0.95


def test_affect_is_learned_where_it_is_rated(tmp_path: Path) -> None:
    data = striped()
    data.vad[:] = (data.targets @ [0.8, -0.8])[:, None]
    schedule = Schedule(epochs=6, peak_rate=1e-2, batch=64)
    model = FaceVit(labels=2, width=16, depth=1, heads=2, stem=(4, 4, 8), affect=True)
    assert fit(FaceTask(model, data, data, schedule, LossOptions()), schedule, tmp_path)[-1]["valid_ccc"] > 0.9


def test_rare_expressions_are_drawn_oftener() -> None:
    data = faces(torch.zeros(1000, 48, 48), (torch.arange(1000) < 50).long())
    schedule = Schedule(epochs=1, peak_rate=1e-3, batch=100)
    shares = []
    for exponent in (0.0, 0.5, 1.0):
        torch.manual_seed(0)
        task = FaceTask(small_model(labels=2), data, data, schedule, LossOptions(oversample=exponent))
        shares.append(torch.cat([wanted for _, wanted, _ in task.batches(0)]).mean(0)[1].item())
    assert shares == [pytest.approx(0.05), pytest.approx(0.19, abs=0.05), pytest.approx(0.5, abs=0.05)]


TINY = """
modality = "face"
architecture = "vit-compact"
corpora = []
[schedule]
epochs = 3
peak_rate = 1e-2
batch = 4
[options]
width = 16
depth = 1
heads = 2
stem = [4, 4, 8]
"""


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """What one says for a folder of faces of one's own: a happy and a sad face of six people, and a tiny network."""
    drawn = np.random.default_rng(0)
    for name, picture in zip(("happy", "sad"), striped().images[:2], strict=True):
        (tmp_path / "clips" / name).mkdir(parents=True)
        for subject in "abcdef":
            worn = np.clip(picture.repeat(2, 0).repeat(2, 1) + drawn.normal(0, 20, (96, 96)), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.stack([worn] * 3, -1), format="rgb24")
            frame.to_image().save(tmp_path / "clips" / name / f"{subject}_1.png")
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    return ["--recipe", str(recipe), "--corpus", f"folder:{tmp_path / 'clips'}", "--out", str(tmp_path / "out")]


def test_ones_own_folder_of_faces_becomes_a_whole_pack(own: list[str], tmp_path: Path) -> None:
    """By the command, as models/README.md says, with a tiny network."""
    pack = tmp_path / "pack"
    assert face.main([*own, "--pack", str(pack)]) == 0
    spec = evaluation.entry(pack)
    assert (spec.labels, spec.licence, spec.trained_on) == (("happiness", "sadness"), "your own", ("the folder clips",))
    assert {*spec.metrics} >= {"accuracy", "uar"}
    assert load_pack(pack, "research").choose(Modality.FACE, "encoder", None) == spec


@pytest.mark.parametrize(
    ("typo", "complaint"),
    [
        (("vit-compact", "vit-huge"), "no face architecture 'vit-huge'"),
        (("depth", "deepness"), "table [options]"),
        (("epochs", "epoch"), "tiny.toml"),
    ],
)
def test_a_face_recipe_that_cannot_be_followed_is_told(
    own: list[str], typo: tuple[str, str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(own[1]).write_text(TINY.replace(*typo))
    assert face.main([*own, "--pack", str(tmp_path / "pack")]) == 1
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "pack").exists(), "nothing is begun in vain"


def test_ones_own_faces_are_not_published_into_the_repository(
    own: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert face.main(own) == 1
    assert "say --pack DIR" in capsys.readouterr().err


def test_copies_of_held_out_faces_are_not_learned(capsys: pytest.CaptureFixture[str]) -> None:
    drawn = np.random.default_rng(0)
    pictures = [drawn.integers(0, 255, (6, 6)).repeat(8, 0).repeat(8, 1).astype(np.uint8) for _ in range(4)]
    darker = (pictures[3] * 0.8).astype(np.uint8)
    samples = [Sample(str(i), None, "happiness", image=image) for i, image in enumerate([*pictures, darker])]
    parts = without_copies({"train": tuple(samples[:4]), "valid": (), "test": (samples[4],)})
    assert parts["train"] == tuple(samples[:3])
    assert "1 of 4 pictures left out" in capsys.readouterr().out


def test_emotions_that_no_training_face_shows_are_left_out() -> None:
    targets = np.array([[0.5, 0, 0.5], [1, 0, 0]], np.float32)
    some = Faces(np.zeros((2, 48, 48), np.uint8), np.pad(targets, ((0, 0), (0, 5))), np.zeros((2, 3), np.float32))
    odd = Faces(some.images, np.eye(8, dtype=np.float32)[[1, 2]], some.vad)
    labels, kept = only_shown({"train": some, "valid": odd})
    assert labels == ("neutral", "surprise")
    assert kept["train"].targets.tolist() == [[0.5, 0.5], [1, 0]]
    assert kept["valid"].targets.tolist() == [[0, 1]]


def test_scores_by_hand() -> None:
    labels = np.array([0, 0, 0, 1])
    logits = np.array([[4, 0, 0], [4, 0, 0], [0, 4, 0], [0, 4, 0]], np.float32)
    figures = score(logits, labels, 1.0)
    assert figures["accuracy"] == pytest.approx(3 / 4)
    assert figures["uar"] == pytest.approx((2 / 3 + 1) / 2)
    assert figures["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_the_temperature_undoes_overconfidence() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 8)).astype(np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([random.choice(8, p=row / row.sum()) for row in shares.astype(np.float64)])
    assert fit_temperature(logits, labels) == pytest.approx(1, rel=0.08)
    assert fit_temperature(logits * 3, labels) == pytest.approx(3, rel=0.08)


def test_free_energy_is_high_where_nothing_speaks() -> None:
    energy = free_energy(np.array([[9, 0, 0], [0, 0, 0]], np.float32), 1.5)
    assert energy[0] < energy[1] == pytest.approx(-1.5 * np.log(3))


@present
def test_the_published_weights_reach_the_floor_also_on_call_like_faces() -> None:
    spec = evaluation.entry()
    predict = evaluation.predictor(evaluation.open_model(spec))
    data = ferplus.load("test").labelled()
    figures = score(predict(data.images), data.labels(), spec.calibration.temperature)
    assert figures["accuracy"] >= 0.72
    assert figures["accuracy"] == pytest.approx(spec.metrics["accuracy"], abs=0.005)
    assert figures["ece"] < 0.05
    worn = score(predict(evaluation.call_like(data.images)), data.labels(), 1.0)
    assert worn["accuracy"] >= 0.62
