"""Gives what was compiled in place of its sources, as long as the sources are those that were compiled.

`deploy/compile.py` copies this file into an environment as the package `till_compiled`, with the compiled modules, a
list of them and of the sources' hashes beside it, and has whatever that environment runs import it. So it stands alone,
and imports nothing that a program wouldn't have imported anyway. TILL_COMPILED=no runs the sources.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

LIST: Final = "compiled.json"
"""{"modules": {name: file beside this one}, "sources": {file of the project: SHA-256 as hex}}"""


class Compiled:
    """Finds the compiled modules of a folder. Raises ImportError where a source isn't what was compiled."""

    def __init__(self, folder: Path) -> None:
        listed = json.loads((folder / LIST).read_bytes())
        self._folder = folder
        self._modules: dict[str, str] = listed["modules"]
        self._unchecked: dict[str, str] = listed["sources"]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where the module is, if it is one of them."""
        file = self._modules.get(name)
        if file is None:
            return None
        if path is not None and self._unchecked:
            # All at once: what one of them says is built into the others.
            self._check(Path(path[0]).parents[name.count(".") - 1])
        return spec_from_file_location(
            name, self._folder / file, loader=ExtensionFileLoader(name, str(self._folder / file))
        )

    def _check(self, project: Path) -> None:
        from hashlib import sha256

        for file, compiled in self._unchecked.items():
            source = project / file
            if not source.exists() or sha256(source.read_bytes()).hexdigest() != compiled:
                raise ImportError(
                    f"{source} is not what was compiled: run `make compile` again, or `make uncompile`. "
                    "TILL_COMPILED=no runs the sources."
                )
        self._unchecked = {}


if __name__ == "till_compiled" and os.environ.get("TILL_COMPILED") != "no":
    sys.meta_path.insert(0, Compiled(Path(__file__).parent))
