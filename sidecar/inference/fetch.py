"""Fetching the files of a pack that are not here, on the operator's command and never else."""

import contextlib
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from sidecar.errors import PackError, Unavailable
from sidecar.inference.manifest import ModelSpec
from sidecar.inference.pack import FileFinding, FileState, file_state, verify
from sidecar.types import Options


class FetchOptions(Options, frozen=True):
    """Where models come from."""

    huggingface_url: Annotated[str, msgspec.Meta(pattern="^https?://")] = "https://huggingface.co"
    """Base address under which `hf:` sources resolve; a mirror may stand here."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0


def fetch(folder: Path, options: FetchOptions) -> Iterator[FileFinding]:
    """Bring every missing or altered file; yields each file once it is right.

    Raises `PackError` for a file that has no source or comes altered, `Unavailable` where the source is away.
    """
    for finding in verify(folder):
        if finding.state is not FileState.OK:
            _bring(finding, _address(folder, finding, options), options.timeout_s)
        yield FileFinding(finding.model, finding.path, finding.sha256, FileState.OK)


def _address(folder: Path, finding: FileFinding, options: FetchOptions) -> str:
    """Where a file lies. An extra file lies beside its graph, under the same name as here."""
    spec = finding.model
    kind, _, rest = spec.source.partition(":")
    if kind == "repository":
        raise PackError(f"{finding.path}: is part of the repository; restore it from there")
    if kind == "hf":
        repository, _, path = rest.partition("@")
        revision, _, path = path.partition("/")
        quoted = urllib.parse.quote(path)
        address = f"{options.huggingface_url.rstrip('/')}/{repository}/resolve/{revision}/{quoted}"
    elif kind == "file":
        address = (folder / rest).resolve().as_uri()
    else:
        address = spec.source
    return address if _is_graph(folder, spec, finding) else urllib.parse.urljoin(address, finding.path.name)


def _is_graph(folder: Path, spec: ModelSpec, finding: FileFinding) -> bool:
    return finding.path == folder / spec.file


def _bring(finding: FileFinding, address: str, timeout_s: float) -> None:
    """Download beside the target and move into place only what has the right digest."""
    finding.path.parent.mkdir(parents=True, exist_ok=True)
    partial = finding.path.with_name(f"{finding.path.name}.partial")
    try:
        with urllib.request.urlopen(address, timeout=timeout_s) as source, partial.open("wb") as target:  # noqa: S310 - scheme checked by the manifest
            shutil.copyfileobj(source, target)
        if file_state(partial, finding.sha256) is not FileState.OK:
            raise PackError(f"{address}: does not have the SHA-256 of the manifest (model {finding.model.name!r})")
        os.replace(partial, finding.path)
    except urllib.error.HTTPError as error:
        raise PackError(
            f"{address}: answered {error.code} (model {finding.model.name!r}); correct key 'source'"
        ) from error
    except OSError as error:
        raise Unavailable(f"{address}: cannot be fetched ({error})") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
