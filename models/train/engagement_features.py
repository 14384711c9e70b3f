"""What the production pipeline makes of a calls corpus, second by second, with the consent that the corpus attests."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.calls import LABELS
from models.datasets.corpus import CorpusError, Sample
from sidecar.clock import SystemClock
from sidecar.config import Settings
from sidecar.consent.audit import AuditChain
from sidecar.consent.gate import parse_consent
from sidecar.engines import Engines
from sidecar.fusion.engagement import LabelOptions, Scores, Second, score
from sidecar.fusion.engagement_head import History
from sidecar.fusion.late import Fusion, ProductOfExperts
from sidecar.pipeline import HearingStage, ParticipantPipeline, SeeingStage, Stage
from sidecar.publish.publisher import Envelope, RoomPublisher, new_epoch
from sidecar.recordings.analysis import RecordingAnalysis
from sidecar.sources.recording import open_recording
from sidecar.telemetry import Telemetry
from sidecar.types import FloatArray, TranscriptSegment

ONSET_S: Final = 1.0
"""Seconds from the start of a span in which the person may still be what they were before: not learned from."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """Labelled seconds of some spans."""

    tables: FloatArray  # (n, 20, features) float32
    labels: NDArray[np.int64]  # (n,) into LABELS
    by_rule: NDArray[np.int64]  # (n,) what the rules say
    identities: tuple[str, ...]  # (n,)

    def of(self, spans: Sequence[Sample]) -> "Seconds":
        """Those of the identities of `spans`."""
        people = {span.subject for span in spans}
        keep = [i for i, identity in enumerate(self.identities) if identity in people]
        return Seconds(
            self.tables[keep], self.labels[keep], self.by_rule[keep], tuple(self.identities[i] for i in keep)
        )


class Tap:
    """Scores as the rules do, and keeps each second as the head would see it."""

    blocking = False

    def __init__(self) -> None:
        self.seen: list[tuple[float, FloatArray, Scores]] = []
        """Media time, (20, features) float32, and the answer of the rules."""
        self._history = History()

    def score(self, second: Second) -> Scores:
        by_rule = score(second)
        self.seen.append((second.media_time_s, self._history.remember(second, by_rule), by_rule))
        return by_rule

    def clear(self) -> None:
        self._history = History()


class _Tapped:
    """The stages of the pack, with a tap in the place of the scorer."""

    def __init__(self, engines: Engines, tap: Tap) -> None:
        self._engines, self._tap = engines, tap

    def face(self) -> SeeingStage | None:
        return self._engines.face()

    def voice(self) -> HearingStage | None:
        return self._engines.voice()

    def text(self) -> Stage[TranscriptSegment] | None:
        return self._engines.text()

    def fusion(self, product: ProductOfExperts) -> Fusion:
        return self._engines.fusion(product)

    def engagement(self) -> Tap:
        return self._tap


class _Nowhere:
    """A sink: nothing of the analysis is published."""

    def put(self, envelope: Envelope) -> None:
        """Forget it."""


def consent_of(recording: Path, spans: Sequence[Sample], told: str | None) -> str:
    """What the person of a recording has agreed to. Raises `CorpusError` where nobody says."""
    given = {span.attributes.get("consent", told or "") for span in spans}
    consent = given.pop() if len(given) == 1 else ""
    modalities, well_formed = parse_consent(consent)
    if not well_formed or not modalities:
        raise CorpusError(
            f"calls: {recording}: no inference without consent; give all its spans one `consent` in spans.csv, such as "
            '"face,voice", or attest it for all with --consent face,voice'
        )
    return consent


def analyse(settings: Settings, spans: Sequence[Sample], told: str | None, audit: Path) -> Seconds:
    """Every labelled second of the spans. Raises `CorpusError` where none of them was estimated.

    Runs as long as the recordings take to analyse; the audit chain of each stands in `audit`. Nothing is kept on disk:
    what a person's face and voice gave must end with their consent.
    """
    recordings: defaultdict[Path, list[Sample]] = defaultdict(list)
    for span in spans:
        if span.path is not None:
            recordings[span.path].append(span)
    attested = {path: consent_of(path, each, told) for path, each in recordings.items()}
    taps = asyncio.run(_analyse_all(settings, attested, audit))
    rows = [row for path, each in recordings.items() for row in _labelled(taps[path], each)]
    if not rows:
        raise CorpusError("calls: no second of any span was estimated; is the person seen or heard in the recordings?")
    tables, labels, by_rule, identities = zip(*rows, strict=True)
    return Seconds(np.stack(tables), np.array(labels), np.array(by_rule), tuple(identities))


async def _analyse_all(settings: Settings, attested: Mapping[Path, str], audit: Path) -> dict[Path, Tap]:
    taps: dict[Path, Tap] = {}
    clock, telemetry = SystemClock(), Telemetry()
    async with Engines(
        settings.models, settings.tree.engines, clock=clock, telemetry=telemetry, shed_stale=False
    ) as engines:
        for number, (path, consent) in enumerate(attested.items(), 1):
            print(f"{number}/{len(attested)} {path.name}", flush=True)
            tap, epoch = Tap(), new_epoch(clock)
            taps[path] = tap
            with AuditChain(audit, path.stem, epoch, clock, telemetry) as chain:
                await RecordingAnalysis(
                    open_recording(path),
                    make_pipeline=partial(ParticipantPipeline, _Tapped(engines, tap), settings.tree.pipeline),
                    publisher=RoomPublisher(path.stem, epoch, "training", _Nowhere(), clock),
                    audit=chain,
                    clock=clock,
                    telemetry=telemetry,
                    fps=settings.tree.source.fps,
                ).run(consent, lambda _: None)
    return taps


def _labelled(tap: Tap, spans: Sequence[Sample]) -> list[tuple[FloatArray, int, int, str]]:
    """Table, label, answer of the rules and identity of every second that lies in a span."""
    return [
        (table, LABELS.index(str(span.label)), LABELS.index(said(by_rule)), str(span.subject))
        for span in spans
        for media_time_s, table, by_rule in tap.seen
        if span.span_s is not None and span.span_s[0] + ONSET_S <= media_time_s <= span.span_s[1]
    ]


def said(scores: Scores) -> str:
    """The one label that scores amount to: disengaged first, as the product labels, then the greater trouble."""
    options = LabelOptions()
    if scores.engagement < options.engaged:
        return "disengaged"
    troubles = {"confused": scores.confusion, "frustrated": scores.frustration}
    worst = max(troubles, key=troubles.__getitem__)
    return worst if troubles[worst] >= options.confused else "engaged"
