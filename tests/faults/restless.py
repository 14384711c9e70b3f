"""A call and stages that misbehave: what surrounds them must survive it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sidecar.clock import Clock
from sidecar.fusion.late import Evidence, Fused, ProductOfExperts
from sidecar.types import (
    AudioChunk,
    CallEnded,
    CallEvent,
    Modality,
    Permit,
    Prediction,
    Track,
    TranscriptSegment,
    VideoFrame,
)
from tests.fakes.call import FakeCall, FakeTap
from tests.fakes.stages import FakeStage, FakeStages


@dataclass(slots=True)
class Trouble:
    """What goes wrong next, shared by the parts of one room. Each error is raised once."""

    make: list[Exception] = field(default_factory=list)
    """When the stages of a person are made."""
    observe: list[Exception] = field(default_factory=list)
    """When a stage takes a unit."""
    fuse: list[Exception] = field(default_factory=list)
    """When an estimate is made."""
    open: list[Exception] = field(default_factory=list)
    """When a tap is opened."""
    units: list[Exception] = field(default_factory=list)
    """When a tap delivers a unit."""
    close: list[Exception] = field(default_factory=list)
    """When a tap is closed."""
    observe_takes_s: float = 0.0
    open_takes_s: float = 0.0
    close_takes_s: float = 0.0

    def heal(self) -> None:
        """Let everything work from now on."""
        for errors in (self.make, self.observe, self.fuse, self.open, self.units, self.close):
            errors.clear()
        self.observe_takes_s = self.open_takes_s = self.close_takes_s = 0.0


def _raise_next(errors: list[Exception]) -> None:
    if errors:
        raise errors.pop()


class RestlessTap(FakeTap):
    """A tap that may raise instead of delivering."""

    def __init__(self, track: Track, permit: Permit, trouble: Trouble) -> None:
        super().__init__(track, permit)
        self._trouble = trouble

    async def __anext__(self) -> AudioChunk | VideoFrame:
        unit = await super().__anext__()
        _raise_next(self._trouble.units)
        return unit


class RestlessCall(FakeCall):
    """A `CallSource` whose taps fail to open, raise in the middle or take long to close."""

    def __init__(self, clock: Clock, trouble: Trouble) -> None:
        super().__init__()
        self._clock = clock
        self._trouble = trouble
        self._failure: Exception | None = None

    def fail(self, error: Exception) -> None:
        """Let the events end with an error."""
        self._failure = error
        self.emit(CallEnded("failed"))

    async def events(self) -> AsyncIterator[CallEvent]:
        async for event in super().events():
            if self._failure is not None:
                raise self._failure
            yield event

    @asynccontextmanager
    async def open_audio(self, track: Track, permit: Permit) -> AsyncIterator[FakeTap]:
        permit.check()
        if self._trouble.open_takes_s:
            await self._clock.sleep(self._trouble.open_takes_s)
        _raise_next(self._trouble.open)
        tap = RestlessTap(track, permit, self._trouble)
        self.taps[:] = [*self.open_taps, tap]
        try:
            yield tap
        finally:
            try:
                if self._trouble.close_takes_s:
                    await self._clock.sleep(self._trouble.close_takes_s)
                _raise_next(self._trouble.close)
            finally:
                tap.open = False

    open_video = open_audio


class RestlessStage(FakeStage):
    """A stage that may be slow or raise."""

    def __init__(self, modality: Modality, clock: Clock, trouble: Trouble) -> None:
        super().__init__(modality)
        self._clock = clock
        self._trouble = trouble

    async def observe(self, unit: AudioChunk | VideoFrame | TranscriptSegment) -> Prediction | None:
        if self._trouble.observe_takes_s:
            await self._clock.sleep(self._trouble.observe_takes_s)
        _raise_next(self._trouble.observe)
        return await super().observe(unit)


class RestlessFusion(ProductOfExperts):
    """A fusion that may raise."""

    trouble: Trouble

    def fuse(self, evidence: Mapping[Modality, Evidence]) -> Fused:
        _raise_next(self.trouble.fuse)
        return super().fuse(evidence)


class RestlessStages(FakeStages):
    """A `StageFactory` that may raise, and whose stages may."""

    def __init__(self, clock: Clock, trouble: Trouble) -> None:
        super().__init__()
        self._clock = clock
        self._trouble = trouble

    def _make(self, modality: Modality) -> FakeStage:
        _raise_next(self._trouble.make)
        return RestlessStage(modality, self._clock, self._trouble)

    def fusion(self, product: ProductOfExperts) -> ProductOfExperts:
        fusion = RestlessFusion(product._options)
        fusion.trouble = self._trouble
        return fusion


@dataclass(slots=True)
class Words:
    """A transcript segment, whole or not."""

    clock: Clock
    error: Exception | None = None
    takes_s: float = 0.0

    async def read(self) -> str:
        if self.takes_s:
            await self.clock.sleep(self.takes_s)
        if self.error is not None:
            raise self.error
        return "this is wonderful"
