"""Media for the simulated people: two different faces that are found, and voices that are heard as speech."""

from collections.abc import AsyncIterator
from itertools import islice

import av
import numpy as np
import pytest

from sidecar.demo.media import HEIGHT_PX, WIDTH_PX, pictures, speech
from sidecar.demo.roles import Role, find_clips, roles
from sidecar.errors import RecordingError
from sidecar.inference.batcher import Batcher, BatcherOptions
from sidecar.inference.collation import Whole
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import read_manifest
from sidecar.inference.silero import SileroVad, VadStream
from sidecar.telemetry import Telemetry
from sidecar.types import AudioChunk, ByteArray, FloatArray, Modality, Permit
from tests.faces import MODELS, detector
from tests.fakes.clock import VirtualClock
from tests.media_files import write_recording


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Role, Role]:
    """What is shown where no clips are at hand."""
    return roles(None, None, tmp_path_factory.mktemp("media"))


@pytest.fixture
async def vad() -> AsyncIterator[SileroVad]:
    (spec,) = (spec for spec in read_manifest(MODELS) if spec.role == "vad")
    options = BatcherOptions(max_batch=1)
    model = OrtModel(spec, MODELS / spec.file)
    async with Batcher(model, spec.name, options, VirtualClock(), Telemetry(), collation=Whole()) as batcher:
        yield SileroVad(spec, batcher)


def lowest_layer(role: Role, number: int) -> ByteArray:
    """A picture of the endless camera as the lowest simulcast layer shows it, (180, 320, 3)."""
    picture = next(islice(pictures(role.media), number, None))
    planes = np.frombuffer(picture, np.uint8).reshape(HEIGHT_PX * 3 // 2, WIDTH_PX)
    shown: ByteArray = av.VideoFrame.from_ndarray(planes, format="yuv420p").reformat(320, 180, "rgb24").to_ndarray()
    return shown


def heard(role: Role, seconds: int) -> FloatArray:
    """The beginning of the endless microphone at 16 kHz, -1..1: every third of 48 kHz samples is near enough."""
    samples = np.concatenate(list(islice(speech(role.voice or role.media), seconds * 10)))
    return samples[::3].astype(np.float32) / 32768


@pytest.mark.parametrize("person", [0, 1])
@pytest.mark.parametrize("number", [0, 37, 110])
def test_one_face_large_enough_for_the_lowest_layer(stand_ins, person, number):
    (face,) = detector().detect(lowest_layer(stand_ins[person], number))
    assert face.width_px >= 64


def test_the_camera_moves_and_its_loop_closes(stand_ins):
    first, later, again = (lowest_layer(stand_ins[0], number).astype(int) for number in (0, 30, 120))
    assert np.abs(first - later).mean() > 3 * np.abs(first - again).mean()


@pytest.mark.parametrize("person", [0, 1])
async def test_the_voice_is_speech_to_the_gate(stand_ins, vad, person):
    chunk = AudioChunk(heard(stand_ins[person], 8), 0.0, 0.0, Permit("ada", Modality.VOICE))
    _, probabilities = await vad.detect(VadStream(), chunk)
    assert np.mean(probabilities > 0.5) > 0.5


def test_the_two_voices_differ(stand_ins):
    ada, grace = (heard(role, 4) for role in stand_ins)
    assert abs(np.corrcoef(ada, grace)[0, 1]) < 0.2


def test_consents_leave_something_to_be_missing(stand_ins):
    ada, grace = stand_ins
    assert (ada.consent, grace.consent) == ("face,voice,text", "face,voice")
    assert ada.lines
    assert not grace.lines


def test_ones_own_recording_is_played_by_the_first(tmp_path):
    mine = write_recording(tmp_path / "mine.mp4", 1.0)
    ada, grace = roles(None, mine, tmp_path)
    assert (ada.media, ada.voice, ada.lines) == (mine, None, ())  # no made-up words beside a real voice
    assert grace.media != mine


@pytest.mark.parametrize("name", ["absent.mp4", "text.mp4"])
def test_what_is_no_recording_is_refused_by_name(tmp_path, name):
    (tmp_path / "text.mp4").write_text("no media at all")
    with pytest.raises(RecordingError, match=name):
        roles(None, tmp_path / name, tmp_path)


def test_clips_are_used_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("SIDECAR_DATA", str(tmp_path))
    assert find_clips() is None
    (tmp_path / "clips").mkdir()
    assert find_clips() == tmp_path / "clips"
    shown = {role.media.parent for role in roles(find_clips(), None, tmp_path)}
    assert shown == {tmp_path / "clips"}
