"""The distribution of services/register, built and installed as a shop does, from what is installed here."""

import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

TOP = Path(__file__).parents[2]
FOLDER = TOP / "services" / "register"
EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")
ENTERED = "import sys; from importlib.metadata import entry_points as all; "
ENTERED += "sys.exit(all(group='console_scripts')['till-register'].load()())"


def build(folder: Path) -> Path:
    """The wheel, built into this folder."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=FOLDER, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def needed(requirements: list[str], extras: frozenset[str] = frozenset()) -> Iterator[Distribution]:
    """What these requirements install, from what is installed here."""
    for one in requirements:
        named, extra = re.match(r"[\w.-]+(?:\[([\w,-]+)\])?", one), EXTRA.search(one)
        assert named is not None
        is_elsewhere = "sys_platform" in one or "python_version <" in one or "implementation_name" in one
        if (extra and extra[1] not in extras) or (is_elsewhere and extra is None):
            continue
        package = distribution(re.split(r"[\[<>=!~; (]", one)[0])
        yield package
        yield from needed(package.requires or [], frozenset((named[1] or "").split(",")))


def install(wheel: Path, home: Path, *extras: str) -> Path:
    """A fresh environment with this wheel and what it says that it needs; its Python."""
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    (site,) = home.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    (info,) = site.glob("*.dist-info")
    own = re.findall(r"^Requires-Dist: (.+)$", (info / "METADATA").read_text(), re.MULTILINE)
    script = home / "bin" / "till-register"
    script.write_text(f"#!{python} -I\n{ENTERED}\n")
    script.chmod(0o755)
    for package in needed(own, frozenset(extras)):
        for name in {file.parts[0] for file in package.files or () if file.parts[0] not in {"..", "__pycache__"}}:
            link = site / name
            if not link.exists():
                link.symlink_to(Path(str(package.locate_file(name))))
    return python
