"""A pack of one's own, to publish into: whole from the start, so that the sidecar can run it."""

import shutil
from pathlib import Path

from models.export import PACK
from sidecar.inference.manifest import MANIFEST, read_manifest


def begin_pack(folder: Path) -> Path:
    """Copy the repository's pack to `folder`, unless there is a pack already. Raises `PackError` for a bad one."""
    if (folder / MANIFEST).exists():
        read_manifest(folder)
        return folder
    (folder / "weights").mkdir(parents=True)
    for spec in read_manifest(PACK):
        for file, _ in spec.paths():
            shutil.copyfile(PACK / file, folder / file)
    shutil.copyfile(PACK / MANIFEST, folder / MANIFEST)
    return folder
