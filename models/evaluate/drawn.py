"""How often people are taken for drawings, and drawings for people: `python -m models.evaluate.drawn`.

Clips, FER+ images and styles of drawing that training did not see, one frame each: a call averages the frames of some
seconds, so these rates are the worst case. Writes `models/results/drawn.json`; needs the corpora (`SIDECAR_DATA`).

    python -m models.evaluate.drawn --photographs DIR --drawings DIR    # judge further pictures, and write nothing
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.evaluate.drawn_cases import drawn_cases, folder_cases, real_cases
from models.evaluate.results import PACK, processor_ms, write
from models.train.drawn_face import Finder, Found
from sidecar.media.drawn_face import DrawnFaceOptions, drawn_log_odds
from sidecar.media.face_crop import aligned_luma

RESULTS: Final = PACK / "results" / "drawn.json"
_LIMIT: Final = DrawnFaceOptions().enter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stills", type=int, default=600, help="FER+ images")
    parser.add_argument("--each", type=int, default=60, help="drawings of a style")
    parser.add_argument("--photographs", type=Path, action="append", default=[], help="a folder of people")
    parser.add_argument("--drawings", type=Path, action="append", default=[], help="a folder of drawn faces")
    options = parser.parse_args()
    random, finder = np.random.default_rng(1), Finder()
    if options.photographs or options.drawings:
        for drawn, folders in ((False, options.photographs), (True, options.drawings)):
            for folder in folders:
                _print(folder.name, rates(finder.found(folder_cases(random, folder, drawn))))
        return
    people = list(finder.found(real_cases(random, "test", options.stills)))
    drawings = list(finder.found(drawn_cases(random, "test", options.each)))
    result = {
        "limit": _LIMIT,
        "people_taken_for_drawings": rates(people),
        "drawings_recognised": rates(drawings),
        "timings": {"ms": round(judging_ms(people[0]), 4)},
    }
    write(RESULTS, result)
    _print("people taken for drawings", rates(people))
    _print("drawings recognised", rates(drawings))
    print(f"{result['timings']} a look; {RESULTS}")


def rates(found: Iterable[Found]) -> Mapping[str, Any]:
    """Share of the faces taken for drawings: of all, by source and by wear; and the greatest and least log odds."""
    groups: dict[str, dict[str, list[float]]] = {"source": defaultdict(list), "wear": defaultdict(list)}
    everything: list[float] = []
    for each in found:
        log_odds = drawn_log_odds(aligned_luma(each.case.rgb, each.face), each.face)
        if log_odds is not None:
            everything.append(log_odds)
            groups["source"][each.case.source].append(log_odds)
            groups["wear"][each.case.wear].append(log_odds)
    tables = {name: {key: _share(values) for key, values in sorted(group.items())} for name, group in groups.items()}
    spread = [round(float(value), 2) for value in np.quantile(everything, (0, 0.5, 1))] if everything else []
    return {"faces": len(everything), "share": _share(everything), "least_median_most": spread, **tables}


def judging_ms(found: Found) -> float:
    """Processor time of one look."""
    luma = aligned_luma(found.case.rgb, found.face)
    return processor_ms(lambda: drawn_log_odds(luma, found.face))


def _share(values: list[float]) -> float:
    return round(float(np.mean(np.array(values) > _LIMIT)), 4) if values else 0.0


def _print(title: str, table: Mapping[str, Any]) -> None:
    print(f"{title}: {table['share']:.4f} of {table['faces']} faces, log odds {table['least_median_most']}")
    for name in ("source", "wear"):
        print("  " + ", ".join(f"{key} {share:.3f}" for key, share in table[name].items()))


if __name__ == "__main__":
    main()
