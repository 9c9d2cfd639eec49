"""`make compile`: the pure rooms compiled by mypyc, from the same files, into the environment that runs this.

Nothing is needed for it but a C compiler; nothing else needs it. Python is the only source: what is compiled behaves as
its source does, in less time, and `deploy/compiled.py` refuses it once a source has changed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final

MODULES: Final = (
    "contracts/jsontext.py",
    "contracts/money.py",
    "contracts/times.py",
    "contracts/topics.py",
    "contracts/zones.py",
    "services/sessions/ledger/encoding.py",
    "services/sessions/rules/*.py",
    "services/sessions/worker/publications.py",
)
"""The rooms that a command goes through, as far as they are typed throughout and define no model of Pydantic's."""

ROOT: Final = Path(__file__).resolve().parents[1]
SITE: Final = Path(sysconfig.get_path("purelib"))
FOLDER: Final = SITE / "till_compiled"
HOOK: Final = SITE / "till_compiled.pth"
"""Python imports what the lines of such a file import whenever it starts in this environment."""

IMPORT_ALL: Final = """
import importlib, json, sys
import till_compiled
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
for name, module in list(sys.modules.items()):
    if name.partition(".")[0] in ("contracts", "services"):
        print(name.replace(".", "/") + ("/__init__.py" if hasattr(module, "__path__") else ".py"))
"""
"""Imports what was compiled and prints which files of the project that needed."""


def main() -> None:
    """Compile, or leave with exit code 2 and a sentence that says what is missing."""
    parser = argparse.ArgumentParser(prog="make compile", description=__doc__)
    parser.add_argument("--remove", action="store_true", help="only remove what was compiled before: `make uncompile`")
    remove_only = parser.parse_args().remove
    if not remove_only and (missing := what_is_missing()):
        parser.exit(2, f"Nothing was compiled: {missing}\n")
    HOOK.unlink(missing_ok=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    if remove_only:
        return
    begun = time.monotonic()
    # Before the build: what is edited meanwhile is not what was compiled.
    hashes = {str(file.relative_to(ROOT)): sha256(file.read_bytes()).hexdigest() for file in project_files()}
    files = [file for pattern in MODULES for file in sorted(ROOT.glob(pattern)) if file.name != "__init__.py"]
    modules = build([str(file.relative_to(ROOT)) for file in files])
    # What isn't named by the hook yet is imported by nobody else.
    write_list(modules, {})
    write_list(modules, {file: hashes[file] for file in sources_of(modules)})
    HOOK.write_text("import till_compiled\n")
    print(f"{len(files)} modules were compiled in {time.monotonic() - begun:.0f} s into {FOLDER}.")  # noqa: T201


def what_is_missing() -> str:
    """A sentence about what a build needs and this machine lacks; empty where it has all."""
    if find_spec("mypyc") is None or find_spec("setuptools") is None:
        return (
            "mypy and setuptools are missing; they are the dependency group `compile`, and `make install` installs it."
        )
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler {compiler}; on Debian, `apt-get install gcc libc6-dev` brings one."
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "this Python has no headers; Debian's are in the package `python3-dev`."
    return ""


def project_files() -> list[Path]:
    """What of the project a compiled module can import."""
    return [*ROOT.glob("contracts/**/*.py"), *ROOT.glob("services/**/*.py")]


def build(files: list[str]) -> dict[str, str]:
    """Compile these files into FOLDER. The extension modules by name, each with its file there."""
    from mypyc.build import mypycify
    from setuptools import setup

    os.chdir(ROOT)
    with tempfile.TemporaryDirectory(prefix="till-compile-") as work:
        extensions = mypycify(
            ["--config-file", "pyproject.toml", *files], target_dir=work, opt_level="2", debug_level="0"
        )
        setup(
            name="till_compiled",
            packages=[],
            ext_modules=extensions,
            script_args=["--quiet", "build_ext", "--build-temp", work, "--build-lib", str(FOLDER)],
        )
    shutil.copy(Path(__file__).with_name("compiled.py"), FOLDER / "__init__.py")
    suffix: str = sysconfig.get_config_var("EXT_SUFFIX")
    built = [str(file.relative_to(FOLDER)) for file in sorted(FOLDER.rglob(f"*{suffix}"))]
    return {file.removesuffix(suffix).replace(os.sep, "."): file for file in built}


def write_list(modules: dict[str, str], sources: dict[str, str]) -> None:
    """Write what `deploy/compiled.py` reads."""
    (FOLDER / "compiled.json").write_text(json.dumps({"modules": modules, "sources": sources}, indent=1))


def sources_of(modules: dict[str, str]) -> list[str]:
    """The files of the project that the compiled modules import: constants and types of all of them are built in."""
    command = [sys.executable, "-c", IMPORT_ALL, json.dumps(list(modules))]
    return sorted(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.split())


if __name__ == "__main__":
    main()
