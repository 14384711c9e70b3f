"""Does any split leak? `python -m models.evaluate.leaks` looks through the corpora on hand and exits 1 on news.

    python -m models.evaluate.leaks                        everything on hand, some minutes
    python -m models.evaluate.leaks --corpus ravdess --corpus folder:/my/clips

For every corpus, as `models.datasets.splits.partition` splits it: the same sound or picture in two splits (exactly, and
nearly), a text inside a text, and a person in two splits. What is known and why stands in `leaks.toml`, with how many
there are; one more than that is news. Near copies within one split are no leak.
"""

import argparse
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

from tqdm import tqdm

from models.datasets.catalogue import load, on_hand
from models.datasets.corpus import Corpus, CorpusError, Sample
from models.datasets.splits import Parts, partition
from models.evaluate import leaks_audio, leaks_images, leaks_text

KNOWN: Final = Path(__file__).parent / "leaks.toml"
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that stands in two splits of a corpus."""

    corpus: str
    check: str
    """`same sound`, `near sound`, `same picture`, `near picture`, `text in text` or `same person`."""
    splits: tuple[str, str]
    names: tuple[str, str]
    """Of the two samples, or twice the person."""


def leaks(corpus: Corpus, parts: Parts) -> list[Leak]:
    """All leaks between the splits of one corpus."""
    found = same_person(corpus.name, parts)
    if corpus.modality == "voice":
        found += sounds(corpus.name, parts)
    elif corpus.modality == "face":
        found += pictures(corpus.name, parts)
    elif corpus.modality == "text":
        found += texts(corpus.name, parts)
    return found


def same_person(corpus: str, parts: Parts) -> list[Leak]:
    """Who is in two splits."""
    people = {split: {sample.subject for sample in part if sample.subject is not None} for split, part in parts.items()}
    return [
        Leak(corpus, "same person", (one, other), (person, person))
        for one, other in combinations(parts, 2)
        for person in sorted(people[one] & people[other])
    ]


def sounds(corpus: str, parts: Parts) -> list[Leak]:
    """Recordings in two splits."""
    samples = [(split, sample) for split, part in parts.items() for sample in part]
    sides = [list(parts).index(split) for split, _ in samples]
    hashes, prints = [], []
    for _, sample in tqdm(samples, f"{corpus}, fingerprints", mininterval=10):
        heard = sample.audio()
        hashes.append(leaks_audio.sample_hash(heard))
        prints.append(leaks_audio.fingerprint(heard))
    found = []
    for one, other, _ in leaks_audio.copies(prints, sides):
        check = "same sound" if hashes[one] == hashes[other] else "near sound"
        found.append(_pair(corpus, check, samples[one], samples[other]))
    return found


def pictures(corpus: str, parts: Parts) -> list[Leak]:
    """Pictures in two splits."""
    found = []
    for one, other in combinations(parts, 2):
        left, right = ([sample.luma() for sample in parts[split]] for split in (one, other))
        for i, j, _ in leaks_images.alike(left, right):
            same = leaks_images.pixel_hash(left[i]) == leaks_images.pixel_hash(right[j])
            pair = (one, parts[one][i]), (other, parts[other][j])
            found.append(_pair(corpus, "same picture" if same else "near picture", *pair))
    return found


def texts(corpus: str, parts: Parts) -> list[Leak]:
    """Texts of a later split inside one of an earlier, or the other way round."""
    return [
        _pair(corpus, "text in text", (one, parts[one][i]), (other, parts[other][j]))
        for one, other in combinations(parts, 2)
        for i, j in leaks_text.contained(*([sample.text or "" for sample in parts[split]] for split in (one, other)))
    ]


def _pair(corpus: str, check: str, one: tuple[str, Sample], other: tuple[str, Sample]) -> Leak:
    return Leak(corpus, check, (one[0], other[0]), (one[1].name, other[1].name))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report: how many there are of a kind, and how many are known."""

    corpus: str
    check: str
    splits: tuple[str, str]
    count: int
    known: int
    why: str
    examples: tuple[tuple[str, str], ...]

    @property
    def news(self) -> bool:
        return self.count > self.known

    def __str__(self) -> str:
        verdict = f"known: {self.why}" if not self.news else f"NEWS (known: {self.known})"
        shown = "" if not self.news else "".join(f"\n    {one} | {other}" for one, other in self.examples)
        return f"{self.corpus:12} {self.check:13} {' / '.join(self.splits):14} {self.count:6}  {verdict}{shown}"


def report(found: Iterable[Leak], known: Path = KNOWN) -> list[Line]:
    """The leaks counted by kind, beside what is known of them."""
    entries = tomllib.loads(known.read_text("utf-8")).get("known", [])
    allowed = {(each["corpus"], each["check"], *each["splits"]): each for each in entries}
    examples: defaultdict[tuple[str, str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for leak in found:
        examples[leak.corpus, leak.check, *leak.splits].append(leak.names)
    return [
        Line(
            corpus=kind[0],
            check=kind[1],
            splits=(kind[2], kind[3]),
            count=len(names),
            known=allowed.get(kind, {}).get("count", 0),
            why=allowed.get(kind, {}).get("why", ""),
            examples=tuple(names[:_SHOWN]),
        )
        for kind, names in sorted(examples.items())
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Report; 1 where there is news, 2 where a corpus cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", help="a name, NAME:PATH or folder:PATH; all on hand by default")
    chosen = parser.parse_args(arguments).corpus or [corpus.name for corpus in on_hand()]
    lines: list[Line] = []
    for reference in chosen:
        try:
            corpus, samples = load(reference)
            parts = partition(samples)
        except CorpusError as error:
            print(f"{reference}: {error}", file=sys.stderr)
            return 2
        sizes = Counter({split: len(part) for split, part in parts.items()})
        print(f"{corpus.name}: {', '.join(f'{split} {count}' for split, count in sizes.items())}", flush=True)
        lines += report(leaks(corpus, parts))
    print("\n".join(map(str, lines)) or "no leaks")
    return 1 if any(line.news for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
