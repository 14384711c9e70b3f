"""Downloads the files of a pack that are missing, only when the operator asks for it."""

import contextlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec

from sidecar.errors import PackError, Unavailable
from sidecar.inference.manifest import ModelSpec
from sidecar.inference.pack import FileFinding, FileState, file_state, verify
from sidecar.types import Options

_BLOCK_BYTES: Final = 1 << 20


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
        raise PackError(f"{finding.path}: is part of the repository and the wheel; restore it from there")
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
    partial = finding.path.with_name(f"{finding.path.name}.partial")
    try:
        finding.path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as target:
            for block in _blocks(finding, address, timeout_s):
                target.write(block)
        if file_state(partial, finding.sha256) is not FileState.OK:
            raise PackError(f"{address}: does not have the SHA-256 of the manifest (model {finding.model.name!r})")
        os.replace(partial, finding.path)
    except OSError as error:
        raise PackError(f"{finding.path}: cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _blocks(finding: FileFinding, address: str, timeout_s: float) -> Iterator[bytes]:
    """The content at an address. Raises `PackError` for an address that is wrong, `Unavailable`."""
    try:
        with urllib.request.urlopen(address, timeout=timeout_s) as source:  # noqa: S310 - scheme checked by the manifest
            while block := source.read(_BLOCK_BYTES):
                yield block
    except urllib.error.HTTPError as error:
        raise PackError(
            f"{address}: answered {error.code} (model {finding.model.name!r}); correct key 'source'"
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)  # an `URLError` wraps the error itself
        raise Unavailable(
            f"{address}: cannot be fetched ({getattr(reason, 'strerror', None) or reason or type(reason).__name__})"
        ) from error
