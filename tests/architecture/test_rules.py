"""Rules that the structure itself must keep, read from the syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.telemetry import Telemetry

ROOT = Path(__file__).parents[2]
SIDECAR = ROOT / "sidecar"


def modules(folder: Path = SIDECAR) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(folder.rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def called(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            yield function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def test_permits_are_made_and_revoked_only_in_the_gate():
    makers = {name for name, tree in modules() if "Permit" in called(tree)}
    assert makers == {"sidecar/consent/gate.py"}
    revokers = {name for name, tree in modules() if "revoke" in called(tree)}
    assert revokers == {"sidecar/consent/gate.py"}


@pytest.mark.parametrize(
    ("package", "places"),
    [
        ("livekit.rtc", ("sidecar/sources/livekit/", "sidecar/demo/")),
        ("onnxruntime", ("sidecar/inference/local.py",)),
        ("torch", ()),
        ("models", ()),
        ("tests", ()),
        ("livekit.agents", ()),
        ("mediapipe", ()),
    ],
)
def test_who_may_import_what(package, places):
    offenders = [
        name
        for name, tree in modules()
        if any(each == package or each.startswith(package + ".") for each in imported(tree))
        and not name.startswith(places or ("nowhere",))
    ]
    assert offenders == []


def test_media_is_numpy_only():
    allowed = {"numpy", "sidecar", "msgspec"}
    foreign = {
        (name, each.split(".")[0])
        for name, tree in modules(SIDECAR / "media")
        for each in imported(tree)
        if each.split(".")[0] not in allowed
    }
    standard = {
        "collections",
        "dataclasses",
        "math",
        "typing",
        "enum",
        "functools",
        "itertools",
        "importlib",
        "tomllib",
    }
    assert {(name, package) for name, package in foreign if package not in standard} == set()


def test_only_the_configuration_reads_the_environment():
    readers = {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }
    assert {name for name in readers if not name.startswith("sidecar/demo/")} == {"sidecar/config.py"}


def test_no_blanket_except():
    blanket = [
        (name, node.lineno)
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in {"Exception", "BaseException"})
        and not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None)  # cleans up and raises again
    ]
    assert {name for name, _ in blanket} == {"sidecar/supervisor.py"}


def test_files_stay_small():
    long = {
        path.relative_to(ROOT).as_posix()
        for folder in ("sidecar", "models", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if len(path.read_text().splitlines()) > 400
    }
    assert long == set()


PERSONAL = {"identity", "room", "name", "participant", "person", "user", "email", "track", "epoch"}
KNOWN_LABELS = {
    "sidecar_audit_failing": (),
    "sidecar_assignments": ("outcome",),
    "sidecar_batch_size": ("model",),
    "sidecar_consent_changes": ("modality", "change"),
    "sidecar_detector_runs": (),
    "sidecar_dropped": ("stage", "reason"),
    "sidecar_estimates": ("abstained",),
    "sidecar_events_lost": (),
    "sidecar_events_published": ("type",),
    "sidecar_events_spooled": (),
    "sidecar_inference_seconds": ("model",),
    "sidecar_latency_seconds": (),
    "sidecar_load_ratio": (),
    "sidecar_low_confidence_share": (),
    "sidecar_output_drift_nats": ("modality",),
    "sidecar_participants": ("modality",),
    "sidecar_queue_delay_seconds": ("model",),
    "sidecar_received": ("unit",),
    "sidecar_rooms": (),
    "sidecar_spool_bytes": (),
    "sidecar_task_failures": ("task",),
    "sidecar_tracked_frames": (),
}
"""Every metric and its labels, each looked at: none names a person or a room. A new one is to be judged and added."""


def test_metrics_are_classified_for_personal_data():
    telemetry = Telemetry()
    found = {metric._name: metric._labelnames for metric in vars(telemetry).values() if hasattr(metric, "_labelnames")}
    assert found == KNOWN_LABELS
    assert not PERSONAL & {label for labels in found.values() for label in labels}


NAMES = {"room", "rooms", "identity", "identities", "participant", "participants", "subject", "display_name", "words"}
HARMLESS = {"len", "type", "describe"}


def named(node: ast.AST) -> Iterator[str]:
    """What an expression reads that may name a room or a person; a count or a type is no name."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in HARMLESS:
        return
    if isinstance(node, ast.Name) and node.id.lstrip("_") in NAMES:
        yield node.id
    if isinstance(node, ast.Attribute):  # the last part counts: `assignment.room` and `room.name`, not `room.clock`
        if node.attr.lstrip("_") in NAMES:
            yield node.attr
        elif node.attr == "name":
            yield from named(node.value)
        return
    for child in ast.iter_child_nodes(node):
        yield from named(child)


def test_no_room_and_no_person_is_logged_or_named_by_an_error_that_is():
    """Errors of these packages end in the log of a worker."""
    logged = ("sidecar/room/", "sidecar/dispatch/", "sidecar/sources/livekit/", "sidecar/consent/", "sidecar/stages/")
    offenders = []
    for path, tree in modules():
        for node in ast.walk(tree):
            is_log = (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and getattr(node.func.value, "id", "") in {"log", "_log", "logging"}
            )
            is_error = isinstance(node, ast.Raise) and node.exc is not None and path.startswith(logged)
            if (is_log or is_error) and not path.startswith("sidecar/demo/"):
                arguments = node.args if isinstance(node, ast.Call) else [node.exc]
                offenders += [(path, node.lineno, name) for each in arguments for name in named(each)]
    assert offenders == []
