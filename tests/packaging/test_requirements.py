"""Which runtime of the models each Python and machine gets, and that the lock files agree."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CLAIMED = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if each.startswith("Programming Language")]
MACHINES = [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")]


def chosen(lines: list[str], version: str, machine: tuple[str, str]) -> list[str]:
    """Names of the runtimes among requirements that an environment installs."""
    system, processor = machine
    environment = {
        "python_version": version,
        "python_full_version": f"{version}.0",
        "platform_system": system,
        "sys_platform": system.lower(),
        "platform_machine": processor,
    }
    wanted = [Requirement(line) for line in lines]
    return [
        each.name
        for each in wanted
        if each.name.startswith("onnxruntime") and (each.marker is None or each.marker.evaluate(environment))
    ]


@pytest.mark.parametrize("version", CLAIMED)
@pytest.mark.parametrize("machine", MACHINES)
def test_exactly_one_runtime_is_installed(version: str, machine: tuple[str, str]) -> None:
    fast = machine == ("Linux", "x86_64") and version != "3.14"
    expected = ["onnxruntime-openvino" if fast else "onnxruntime"]
    assert chosen(PROJECT["optional-dependencies"]["cpu"], version, machine) == expected
    for name in ("cpu.txt", "dev.txt"):
        lines = (ROOT / "requirements" / name).read_text().splitlines()
        locked = [line.removesuffix("\\").strip() for line in lines if line and not line.startswith((" ", "#"))]
        assert chosen(locked, version, machine) == expected


def test_the_lock_files_name_no_index() -> None:
    for name in ("cpu.txt", "dev.txt"):
        assert "://" not in (ROOT / "requirements" / name).read_text()
