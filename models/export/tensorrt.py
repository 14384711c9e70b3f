"""TensorRT engines of a pack: for each model the command that builds one, and ONNX Runtime's settings for the same.

An engine belongs to one GPU and one version of TensorRT, so it is built where it runs: `NAME.sh` calls `trtexec`;
`NAME.json` holds the options of ONNX Runtime's TensorrtExecutionProvider, which builds its own and caches it.
"""

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Final

import msgspec
import onnx
from onnx import numpy_helper

from models.export.triton import is_batched
from sidecar.inference.manifest import ModelSpec
from sidecar.inference.pack import Pack
from sidecar.types import Options

BUILDER: Final = "trtexec"
_TOKENS: Final = (1, 32, 128)
"""Fewest, usual and most tokens of a segment."""


class EngineMissing(Exception):
    """TensorRT cannot be used here, or not for this graph."""


class EngineOptions(Options, frozen=True):
    """What the engines are built for."""

    usual_batch: Annotated[int, msgspec.Meta(ge=1)] = 16
    """The batch size that the kernels are tuned for."""
    max_batch: Annotated[int, msgspec.Meta(ge=1)] = 64
    fp16: bool = True


def write_engines(pack: Pack, folder: Path, options: EngineOptions) -> tuple[list[Path], dict[str, str]]:
    """Scripts and settings for every model that TensorRT takes; the others by name, with the reason."""
    folder.mkdir(parents=True, exist_ok=True)
    scripts, refused = [], {}
    for spec in pack.models.values():
        if (reason := obstacle(onnx.load(pack.path(spec)))) is not None:
            refused[spec.name] = reason
            continue
        command = build_command(spec, pack.path(spec).resolve(), folder.resolve(), options)
        scripts.append(folder / f"{spec.name}.sh")
        scripts[-1].write_text(f"#!/bin/sh\nexec {shlex.join(command)}\n", "utf-8")
        scripts[-1].chmod(0o755)
        settings = json.dumps(provider_options(spec, folder.resolve(), options), indent=2)
        (folder / f"{spec.name}.json").write_text(settings + "\n", "utf-8")
    return scripts, refused


def build(scripts: list[Path]) -> None:
    """Run the scripts. Raises `EngineMissing` where there is no `trtexec`, `CalledProcessError` where it fails."""
    if shutil.which(BUILDER) is None:
        raise EngineMissing(
            f"{BUILDER} is not on the PATH: engines are built on the machine with the GPU; install TensorRT there and "
            "run the scripts"
        )
    for script in scripts:
        subprocess.run([str(script)], check=True)


def build_command(spec: ModelSpec, graph: Path, folder: Path, options: EngineOptions) -> list[str]:
    """The call of `trtexec`; a profile of shapes where the graph has free dimensions."""
    command = [BUILDER, f"--onnx={graph}", f"--saveEngine={folder / spec.name}.plan", "--skipInference"]
    if profile := shape_profile(spec, options):
        command += [f"--{which}Shapes={shapes}" for which, shapes in profile.items()]
    return [*command, "--fp16"] if options.fp16 else command


def provider_options(spec: ModelSpec, folder: Path, options: EngineOptions) -> dict[str, str]:
    """Options of ONNX Runtime's TensorRT provider; its names and formats, all values text."""
    told = {
        "trt_fp16_enable": str(int(options.fp16)),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder / "cache"),
        "trt_timing_cache_enable": "1",
    }
    return told | {f"trt_profile_{which}_shapes": shapes for which, shapes in shape_profile(spec, options).items()}


def shape_profile(spec: ModelSpec, options: EngineOptions) -> dict[str, str]:
    """`min`, `opt` and `max`, each `face:1x1x48x48,...`; empty where no dimension is free."""
    if all(isinstance(size, int) for port in spec.input for size in port.shape):
        return {}
    batches = (1, options.usual_batch, options.max_batch) if is_batched(spec) else (1, 4, options.max_batch)
    profile = {}
    for which, batch, tokens in zip(("min", "opt", "max"), batches, _TOKENS, strict=True):
        free = {"tokens": tokens}
        shapes = [
            (port.name, [size if isinstance(size, int) else free.get(size, batch) for size in port.shape])
            for port in spec.input
        ]
        profile[which] = ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes)
    return profile


def obstacle(model: onnx.ModelProto) -> str | None:
    """Why TensorRT would not take the graph, and what to do; None where nothing is known against it."""
    kinds = {node.op_type for node in model.graph.node}
    if "DynamicQuantizeLinear" in kinds or "MatMulInteger" in kinds:
        return "is quantised dynamically, which TensorRT has no layers for; export it with --precision fp16"
    points = {node.input[2] for node in model.graph.node if node.op_type == "QuantizeLinear" and len(node.input) > 2}
    for constant in model.graph.initializer:
        if constant.name in points and numpy_helper.to_array(constant).any():
            return "is quantised about a zero that is not 0, as TensorRT wants it; export it with --precision fp16"
    return None
