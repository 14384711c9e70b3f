"""Every voice recipe on tiny corpora and networks, down to a pack that the sidecar can load."""

import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import soundfile
import torch
import transformers

from models.datasets.corpus import CorpusError, Sample
from models.export import PACK, write_entry
from models.train import voice
from models.train.hub import CheckpointError
from models.train.loop import TrainingDiverged
from models.train.recipe import RECIPES, RecipeError, read_recipe
from models.train.voice_calibration import calibrate, free_energy
from models.train.voice_cases import CorpusClip, VoiceCase, assemble
from models.train.voice_distil import trained_front_end
from models.train.voice_head import Examples, HeadOptions, fit, logits_of, recall
from models.train.voice_network import VoiceNetwork
from models.train.voice_task import VoiceTask, train_network
from models.train.wav2vec2_compact import CompactWav2Vec2, WaveformFrontEnd, stem
from models.train.whisper_encoder import WhisperEncoder
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import read_manifest

AUDIO = np.random.default_rng(0).normal(0.02, 0.1, (2, 48_000)).astype(np.float32)
TINY = {
    "log-mel-cnn": ("voice-log-mel-cnn", {"channels": [4, 4, 4, 8]}),
    "bilstm-attention": ("voice-bilstm-attention", {"hidden": 8, "layers": 1, "stack": 4}),
    "wav2vec2": ("voice-wav2vec2-finetune", {}),
    "hubert": ("voice-hubert-finetune", {}),
    "wavlm": ("voice-wavlm-finetune", {}),
}
ALIKE = ("wav2vec2", "hubert")
"""Trained by the same code as WavLM, so that they are left to `make test-shapes`."""
CLASSES = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three people who hum low when sad and high when angry."""
    root = tmp_path_factory.mktemp("clips")
    for (name, pitch_hz), person, i in product({"sad": 150, "angry": 600}.items(), ("ann", "ben", "cy"), range(2)):
        (root / name).mkdir(exist_ok=True)
        random = np.random.default_rng([i, *person.encode()])
        time_s = np.arange(16_000) / 16_000
        hum = 0.2 * np.sin(2 * np.pi * pitch_hz * (1 + 0.1 * i) * time_s) + random.normal(0, 0.01, 16_000)
        soundfile.write(root / name / f"{person}_{i}.wav", hum, 16_000)
    return f"folder:{root}"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """One that knows no encoder yet."""
    folder = tmp_path / "pack"
    folder.mkdir()
    write_entry(next(spec for spec in read_manifest(PACK) if spec.role == "vad"), folder)
    return folder


def random_checkpoint(folder: Path, family: str) -> Path:
    torch.manual_seed(0)
    config = getattr(transformers, f"{CLASSES[family]}Config")(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    getattr(transformers, f"{CLASSES[family]}Model")(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore")  # of the exporter's own libraries
@pytest.mark.parametrize(
    "architecture",
    ["log-mel-cnn", "bilstm-attention", "wavlm", *(pytest.param(each, marks=pytest.mark.shapes) for each in ALIKE)],
)
def test_a_random_network_of_each_architecture_trains_exports_and_runs(
    architecture: str, clips: str, tmp_path: Path, pack: Path
) -> None:
    name, options = TINY[architecture]
    checkpoint = str(random_checkpoint(tmp_path / "checkpoint", architecture)) if architecture in CLASSES else None
    recipe = read_recipe(name, "voice").told([clips], checkpoint, 1)
    recipe = msgspec.structs.replace(
        recipe, options=options, schedule=msgspec.structs.replace(recipe.scheduled(), batch=4, accumulate=1)
    )
    spec = train_network(recipe, voice.NETWORKS[architecture], assemble([clips]), tmp_path, pack)
    said = OrtModel(spec, pack / spec.file).run({"audio": AUDIO})
    assert said["logits"].shape == (2, len(spec.labels))
    assert np.isfinite(said["logits"]).all()
    assert np.abs(said["logits"][0] - said["logits"][1]).max() > 0, "the logits follow the audio"
    assert read_manifest(pack)[0].calibration.typical is not None
    assert (tmp_path / "curves.png").exists()


def test_a_rated_corpus_teaches_valence_arousal_and_dominance(clips: str) -> None:
    material = assemble([clips])

    def rated(cases: tuple[VoiceCase, ...]) -> tuple[VoiceCase, ...]:
        def sample(case: VoiceCase) -> Sample:
            vad = (0.5, 0.5, 0.5) if case.labels == ("anger",) else (-0.5, -0.5, -0.5)
            return Sample(case.clip.sample.name, case.clip.speaker, case.clip.emotion, case.clip.path, vad=vad)

        return tuple(VoiceCase(CorpusClip(sample(case)), case.corpus, case.labels) for case in cases)

    material = replace(material, train=rated(material.train), valid=rated(material.valid))
    recipe = read_recipe("voice-log-mel-cnn", "voice")
    torch.manual_seed(0)
    body, width = voice.NETWORKS["log-mel-cnn"](msgspec.structs.replace(recipe, options={"channels": [4, 4, 4, 8]}))
    network, as_it_is = VoiceNetwork(body, width, 2, affect=True, dropout=0.0), {"call": 0.0, "voice": 0.0}
    task = VoiceTask(network, material, recipe.scheduled(), recipe.loss, as_it_is)
    (batch,) = task.batches(0)
    optimizer = torch.optim.Adam(task.model.parameters(), 0.01)
    before = task.loss(batch).item()
    for _ in range(40):
        optimizer.zero_grad()
        task.loss(batch).backward()
        optimizer.step()
    assert task.loss(batch).item() < before - 0.5
    told = task.model(batch.audio)
    assert torch.corrcoef(torch.stack((told.vad[:, 1].detach(), batch.vad[:, 1])))[0, 1] > 0.9


def separable(count: int = 120) -> Examples:
    random = np.random.default_rng(0)
    kinds = np.arange(count) % 3
    features = random.normal(0, 1, (count, 20)).astype(np.float32)
    features[:, :3] += 4 * np.eye(3, dtype=np.float32)[kinds]
    speakers = np.array([f"s{i}" for i in np.arange(count) // 3 % 4])
    features[speakers == "s0"] += 3
    return Examples(
        features, np.eye(3, dtype=np.float32)[kinds], np.ones(count, np.float32), speakers, np.array(["one"] * count)
    )


def test_the_head_learns_scales_and_calibrates() -> None:
    examples = separable()
    head = fit(examples, HeadOptions(shrinkage=0.01))
    logits = logits_of(head, examples)
    assert recall(logits, examples.targets) > 0.95
    np.testing.assert_array_equal(logits, logits_of(fit(examples, HeadOptions(shrinkage=0.01)), examples))
    calibration = calibrate(logits, examples.targets, examples.weights, examples.prior())
    assert calibration.typical is not None
    np.testing.assert_array_equal(np.argmax(calibration.typical, 1), np.arange(3))
    assert calibration.energy_limit is not None
    strange = replace(examples, features=examples.features + 12)
    assert (free_energy(logits_of(head, strange), calibration.temperature) > calibration.energy_limit).all()
    assert (free_energy(logits, calibration.temperature) < calibration.energy_limit).all()
    assert head(torch.zeros(1, 20))[1].shape == (1, 256)


def test_a_label_that_validation_lacks_cannot_be_calibrated() -> None:
    examples = separable()
    with pytest.raises(CorpusError, match=r"labels \[1\] have no samples in validation"):
        calibrate(examples.features[:, :3], examples.targets * [1, 0, 1], examples.weights, examples.prior())


@pytest.mark.filterwarnings("ignore")
def test_the_command_trains_a_head_on_ones_own_clips_into_a_pack(
    clips: str, tmp_path: Path, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    random = WhisperEncoder(depth=3).eval()
    monkeypatch.setitem(voice.FROZEN, "whisper-head", ("voice-random-whisper", lambda: random))
    command = ["--corpus", clips, "--out", str(tmp_path / "out"), "--pack", str(pack)]
    assert voice.main(command) == 0
    spec = read_manifest(pack)[0]
    assert spec.labels == ("sadness", "anger")
    assert spec.trained_on[0].startswith("folder")
    assert OrtModel(spec, pack / spec.file).run({"audio": AUDIO})["logits"].shape == (2, 2)
    assert len(list((tmp_path / "out").glob("*.npy"))) > 0


def test_the_compact_wav2vec2_begins_near_nothing_and_fits_the_stem() -> None:
    """With random Whisper weights: what counts is that the front end can learn whatever stem it is given."""
    torch.manual_seed(0)
    teacher, front_end = WhisperEncoder(depth=1).eval(), WaveformFrontEnd()
    audio = torch.from_numpy(AUDIO)
    wanted = stem(teacher, audio).detach()
    assert front_end(audio).shape == wanted.shape == (2, 150, 384)
    assert CompactWav2Vec2(front_end, teacher)(audio).shape == (2, 3 * 384)
    optimizer = torch.optim.Adam(front_end.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = (front_end(audio) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_every_recipe_can_be_read_and_has_its_architecture() -> None:
    known = {*voice.NETWORKS, *voice.FROZEN, "egemaps-svm"}
    assert {read_recipe(path.stem, "voice").architecture for path in RECIPES.glob("voice-*.toml")} == known


def test_what_does_not_go_together_is_named(
    clips: str, tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    material = assemble([clips])
    with pytest.raises(RecipeError, match="--checkpoint FOLDER"):
        voice.train(read_recipe("voice-wavlm-finetune", "voice"), material, tmp_path, pack)
    folder = random_checkpoint(tmp_path / "hubert", "hubert")
    other_family = read_recipe("voice-wavlm-finetune", "voice").told(None, str(folder))
    with pytest.raises(CheckpointError, match=r"'model_type': 'hubert'.*'wavlm'"):
        voice.train(other_family, material, tmp_path, pack)
    misspelt = msgspec.structs.replace(read_recipe("voice-log-mel-cnn", "voice"), options={"chanels": [4]})
    with pytest.raises(RecipeError, match=r"table \[options\]"):
        voice.train(misspelt, material, tmp_path, pack)
    with pytest.raises(RecipeError, match=r"front-end\.pt is missing: run python -m models\.train\.voice_distil first"):
        trained_front_end(tmp_path)
    assert voice.main(["--corpus", clips]) == 1
    assert "say --pack DIR" in capsys.readouterr().err
    assert voice.main(["--recipe", "voice-nothing", "--pack", str(pack)]) == 1
    assert "recipes here" in capsys.readouterr().err


def test_a_loss_that_is_not_a_number_stops_the_training(clips: str, tmp_path: Path, pack: Path) -> None:
    recipe = read_recipe("voice-log-mel-cnn", "voice").told([clips], None, 1)
    recipe = msgspec.structs.replace(recipe, options={"channels": [4, 4, 4, 4]})
    poisoned = voice.NETWORKS["log-mel-cnn"](recipe)
    poisoned[0].blocks[0].weight.data.fill_(torch.nan)
    with pytest.raises(TrainingDiverged, match="peak_rate"):
        train_network(recipe, lambda _: poisoned, assemble([clips]), tmp_path, pack)


def test_egemaps_with_opensmile_or_a_word_of_what_to_install(
    clips: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, material = read_recipe("voice-egemaps-svm", "voice"), assemble([clips])
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(RecipeError, match="pip install opensmile"):
        voice.train(recipe, material, tmp_path, tmp_path)

    class Smile:
        """Stands for openSMILE, whose licence keeps it out: 88 numbers that follow the sound."""

        def __init__(self, *_: object) -> None: ...

        def process_signal(self, audio: np.ndarray, rate_hz: int) -> np.ndarray:
            assert rate_hz == 16_000
            return np.abs(np.fft.rfft(audio))[None, : 88 * 272].reshape(1, 88, 272).mean(2)

    sets, levels = SimpleNamespace(eGeMAPSv02=0), SimpleNamespace(Functionals=0)
    monkeypatch.setitem(sys.modules, "opensmile", SimpleNamespace(Smile=Smile, FeatureSet=sets, FeatureLevel=levels))
    assert voice.train(recipe, material, tmp_path, tmp_path) is None
    assert (tmp_path / "egemaps.json").exists()
