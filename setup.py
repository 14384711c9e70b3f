"""The build step that `pyproject.toml` cannot express: the wheel carries the model pack as `sidecar/pack`."""

import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PACK = Path("models")
RESULTS = ("face", "voice", "text")
"""Results that drift compares a model's outputs with."""


class BuildWithPack(build_py):
    """Copies the manifest, the files it names and their results beside the code. A checkout uses `models/` itself."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._pack():
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        pack = [] if self.editable_mode else [target for _, target in self._pack()]
        return [*super().get_outputs(include_bytecode), *pack]

    def _pack(self) -> Iterator[tuple[Path, str]]:
        """Each file of the pack and where the build puts it."""
        for name in pack_files(PACK):
            yield PACK / name, str(Path(self.build_lib, "sidecar", "pack", name))


def pack_files(folder: Path) -> list[str]:
    """The files of a pack, relative to its folder."""
    models = tomllib.loads((folder / "manifest.toml").read_text("utf-8"))["model"]
    files = {each["file"] for model in models for each in (model, *model.get("files", ()))}
    return ["manifest.toml", *sorted(files), *(f"results/{modality}.json" for modality in RESULTS)]


setup(cmdclass={"build_py": BuildWithPack})
