"""The loaded pack: one owner per model, shared by the stages of all people in all rooms."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final, Self

import msgspec

from sidecar.clock import Clock
from sidecar.fusion.calibration import Calibration
from sidecar.fusion.engagement_head import EngagementHead, RuleScorer, Scorer
from sidecar.fusion.late import Fusion, ProductOfExperts
from sidecar.fusion.learned import WIDTH, LearnedFusion
from sidecar.inference.batcher import Batcher, BatcherOptions
from sidecar.inference.blazeface import FaceDetector
from sidecar.inference.collation import Collation, Padded, Whole
from sidecar.inference.encoder import Model
from sidecar.inference.face_mesh import FaceMesh
from sidecar.inference.face_vit import FaceVit
from sidecar.inference.iris import IrisTracker
from sidecar.inference.language import LanguageIdentifier
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec
from sidecar.inference.own_networks import EngagementNetwork, open_engagement_network, open_fusion_network
from sidecar.inference.pack import Licence, load_pack
from sidecar.inference.silero import SileroVad
from sidecar.inference.speech import SpeechEncoder
from sidecar.inference.text_sentiment import TextEncoder
from sidecar.inference.timed import Timed
from sidecar.stages.face import FaceNetworks, FaceOptions, FaceStage
from sidecar.stages.text import TextStage
from sidecar.stages.voice import VoiceOptions, VoiceStage
from sidecar.telemetry import Telemetry
from sidecar.types import Modality, Options

_ALONE: Final = BatcherOptions(max_batch=1)
"""For the speech gate, whose batch axis is one person's time, and for text: under dynamic quantisation neighbours in
a batch alter a segment's figures."""


class EngineOptions(Options, frozen=True):
    """Which models run, and how their queues are bounded."""

    licence: Licence = "research"
    face_model: str | None = None
    """A name from the manifest; None takes the first of the modality."""
    voice_model: str | None = None
    text_model: str | None = None
    fusion_model: str | None = None
    """File of a learned fusion, as `models.train.fusion` leaves it; None takes the product of experts."""
    engagement_model: str | None = None
    """File of a head that `models.train.engagement` made, its .toml beside it; None takes the rules."""
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    max_age_s: Annotated[float, msgspec.Meta(gt=0, le=30)] = 1.0
    """Units older than this when their turn comes are shed."""
    batcher: BatcherOptions = BatcherOptions()
    face: FaceOptions = FaceOptions()
    voice: VoiceOptions = VoiceOptions()


class Engines:
    """A `StageFactory` over one verified pack; `async with` it. Loading takes seconds and runs in a thread."""

    def __init__(
        self, folder: Path, options: EngineOptions, *, clock: Clock, telemetry: Telemetry, shed_stale: bool = True
    ) -> None:
        """`shed_stale` is False for recordings, of which nothing may be lost."""
        self._folder = folder
        self._options = options
        self._clock = clock
        self._telemetry = telemetry
        self._max_age_s = options.max_age_s if shed_stale else None
        self._open = AsyncExitStack()
        self._batchers: list[Batcher] = []

    async def __aenter__(self) -> Self:
        """Raises `PackError`."""
        async with AsyncExitStack() as opening:
            self._pack = await asyncio.to_thread(load_pack, self._folder, self._options.licence)
            self._fusion = None
            if self._options.fusion_model is not None:
                self._fusion = await asyncio.to_thread(open_fusion_network, Path(self._options.fusion_model), WIDTH)
            await self._open_face(opening)
            await self._open_voice(opening)
            await self._open_text(opening)
            self._engagement: EngagementNetwork | None = None
            if self._options.engagement_model is not None:
                head = Path(self._options.engagement_model)
                self._engagement = await asyncio.to_thread(open_engagement_network, head)
                self.engagement()  # a head for other features is refused now, not in the first call
            self._open = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.__aexit__(kind, error, trace)

    @property
    def queue_share(self) -> float:
        """The longest queue's delay over the age at which work is shed, 0-1."""
        delay_s = max((batcher.queue_delay_s for batcher in self._batchers), default=0.0)
        return min(1.0, delay_s / self._options.max_age_s)

    @property
    def failing(self) -> Mapping[str, str]:
        """Error type by name of each batcher that failed within the last minute."""
        return {name: error for batcher in self._batchers for name, error in batcher.failing.items()}

    def face(self) -> FaceStage | None:
        if self._face is None:
            return None
        networks, encoder, calibration, models = self._face
        return FaceStage(
            networks,
            encoder,
            calibration,
            models=models,
            options=self._options.face,
            max_age_s=self._max_age_s,
            clock=self._clock,
            telemetry=self._telemetry,
        )

    def voice(self) -> VoiceStage | None:
        if self._voice is None:
            return None
        vad, encoder, calibration, models = self._voice
        return VoiceStage(
            vad, encoder, calibration, models=models, options=self._options.voice, telemetry=self._telemetry
        )

    def text(self) -> TextStage | None:
        return None if self._text is None else TextStage(*self._text)

    def fusion(self, product: ProductOfExperts) -> Fusion:
        """The learned fusion over `product`'s weights where one is configured, else `product`."""
        return product if self._fusion is None else LearnedFusion(self._fusion, product)

    def engagement(self) -> Scorer:
        """A head of one person's own where one is configured, else the rules."""
        head = self._engagement
        return RuleScorer() if head is None else EngagementHead(head.model, head.card)

    async def _open_face(self, opening: AsyncExitStack) -> None:
        spec = self._pack.choose(Modality.FACE, "encoder", self._options.face_model)
        geometry = [self._pack.choose(Modality.FACE, role) for role in ("detector", "landmarks", "iris")]
        specs = [each for each in (spec, *geometry) if each is not None]
        self._face = None
        if spec is None or len(specs) < 4:
            return
        detector, mesh, iris = [await self._timed(each) for each in specs[1:]]
        thread = opening.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix="faces"))
        networks = FaceNetworks(FaceDetector(detector), FaceMesh(mesh), IrisTracker(iris), thread)
        encoder = FaceVit(spec, await self._batcher(opening, spec, self._options.batcher), self._max_age_s)
        self._face = (networks, encoder, Calibration(spec), {each.name: each.sha256 for each in specs})

    async def _open_voice(self, opening: AsyncExitStack) -> None:
        spec = self._pack.choose(Modality.VOICE, "encoder", self._options.voice_model)
        vad_spec = self._pack.choose(Modality.VOICE, "vad")
        self._voice = None
        if spec is None or vad_spec is None:
            return
        vad = SileroVad(vad_spec, await self._batcher(opening, vad_spec, _ALONE, Whole()))
        encoder = SpeechEncoder(spec, await self._batcher(opening, spec, self._options.batcher), self._max_age_s)
        self._voice = (vad, encoder, Calibration(spec), {each.name: each.sha256 for each in (spec, vad_spec)})

    async def _open_text(self, opening: AsyncExitStack) -> None:
        spec = self._pack.choose(Modality.TEXT, "encoder", self._options.text_model)
        self._text = None
        if spec is None:
            return
        identifier = await asyncio.to_thread(LanguageIdentifier, spec.languages)
        batcher = await self._batcher(opening, spec, _ALONE, Padded())
        encoder = TextEncoder(spec, self._pack.extra(spec, "tokenizer"), identifier, batcher, self._max_age_s)
        self._text = (encoder, Calibration(spec), {spec.name: spec.sha256}, spec.languages[0])

    async def _timed(self, spec: ModelSpec) -> Model:
        model = await asyncio.to_thread(OrtModel, spec, self._pack.path(spec), self._options.threads)
        return Timed(model, self._telemetry.inference.labels(spec.name))

    async def _batcher(
        self, opening: AsyncExitStack, spec: ModelSpec, options: BatcherOptions, collation: Collation | None = None
    ) -> Batcher:
        model = await asyncio.to_thread(OrtModel, spec, self._pack.path(spec), self._options.threads)
        batcher = Batcher(model, spec.name, options, self._clock, self._telemetry, collation=collation)
        self._batchers.append(batcher)
        return await opening.enter_async_context(batcher)
