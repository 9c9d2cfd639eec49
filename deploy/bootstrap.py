"""Make `.venv` from the lock file on a machine that has only Python 3.11 or newer.

Debian's Python comes without pip, venv and ensurepip, so nothing but the standard library is used:
the installer `uv` is fetched from the package index, compared with the hash below, and run.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "Tillstream needs Python 3.11 or newer and this is Python %d.%d: install a newer one, or "
        "name it, as in `make install PYTHON=python3.12`." % sys.version_info[:2]
    )

import hashlib
import io
import os
import platform
import re
import subprocess
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOWNLOAD_LIMIT_S = 120
UV = "0.13.8"
# The Linux builds are linked statically: they run with glibc and with musl.
WHEELS = {
    ("Linux", "x86_64"): (
        f"uv-{UV}-py3-none-musllinux_1_1_x86_64.whl",
        "29451c60f5e8b07403e0a175d5229efc36b0289b34143ff4aaa499a5dd52553a",
    ),
    ("Linux", "aarch64"): (
        f"uv-{UV}-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d",
    ),
    ("Darwin", "x86_64"): (
        f"uv-{UV}-py3-none-macosx_10_12_x86_64.whl",
        "b7124ca1956ec2e476a1003ea5715a15f0266afaec37f4dc9c6972ba8183e6d1",
    ),
    ("Darwin", "arm64"): (
        f"uv-{UV}-py3-none-macosx_11_0_arm64.whl",
        "62b6943c7fd64fac6854f780bea6e0359e5a5bc3241f83ee357bb38276afac49",
    ),
}


def main() -> None:
    """Install, or leave with a sentence that says what is missing."""
    uv = find_uv()
    # Without --python an environment that is there and new enough is kept as it is.
    choice = [] if is_usable(ROOT / ".venv" / "bin" / "python") else ["--python", sys.executable]
    settings = {"UV_PYTHON_DOWNLOADS": "never", "UV_PROJECT_ENVIRONMENT": str(ROOT / ".venv")}
    environment = {**os.environ, **settings}
    # An active environment of another project is not meant, and uv would warn about it.
    environment.pop("VIRTUAL_ENV", None)
    command = [str(uv), "sync", "--frozen", *choice]
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
        sys.exit("The packages could not be installed, see above. The first time this needs the network.")


def is_usable(python: Path) -> bool:
    """Whether this interpreter runs and is new enough."""
    test = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([python, "-c", test], check=False).returncode == 0
    except OSError:
        return False


def find_uv() -> Path:
    """The pinned uv: from the cache, or else from the package index."""
    base = os.environ.get("TILL_CACHE") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "tillstream"
    )
    uv = Path(base).expanduser() / f"uv-{UV}" / "uv"
    if not uv.exists():
        binary = fetch()
        try:
            uv.parent.mkdir(parents=True, exist_ok=True)
            # Written beside it and renamed: an interrupted run leaves no half program.
            fresh = uv.with_name(f"uv.{os.getpid()}")
            fresh.write_bytes(binary)
            fresh.chmod(0o755)
            fresh.replace(uv)
        except OSError as error:
            sys.exit(f"{uv.parent} is not writable ({error}): name another folder in TILL_CACHE.")
    return uv


def fetch() -> bytes:
    """Download the wheel of uv for this machine and give the program in it."""
    machine = (platform.system(), platform.machine())
    if machine not in WHEELS:
        sys.exit("No installer for {} on {}: Linux and macOS on x86 or ARM only.".format(*machine))
    name, digest = WHEELS[machine]
    index = (
        os.environ.get("UV_DEFAULT_INDEX")
        or os.environ.get("UV_INDEX_URL")
        or os.environ.get("PIP_INDEX_URL")
        or "https://pypi.org/simple"
    )
    try:
        page_url = index.rstrip("/") + "/uv/"
        page = download(page_url).decode()
        link = re.search(rf'href="([^"]*/{re.escape(name)})[#"]', page)
        if link is None:
            sys.exit(f"{page_url} does not offer {name}: use another index in UV_INDEX_URL.")
        wheel = download(urllib.parse.urljoin(page_url, link[1]))
    except OSError as error:
        sys.exit(
            f"uv {UV} could not be fetched from {index} ({error}). The first install needs the "
            "network; behind a mirror set UV_INDEX_URL, with an own authority SSL_CERT_FILE."
        )
    actual = hashlib.sha256(wheel).hexdigest()
    if actual != digest:
        sys.exit(f"{name} has the SHA-256 {actual} instead of {digest}: it is not run.")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        return archive.read(f"uv-{UV}.data/scripts/uv")


def download(url: str) -> bytes:
    """The body of a page; OSError when there is none. Passwords in the address are used."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        sys.exit(f"{url} is not an address of a package index: it must begin with https://")
    opener = urllib.request.build_opener()
    if parts.username:
        url = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
        user, password = urllib.parse.unquote(parts.username), parts.password or ""
        passwords.add_password(None, url, user, urllib.parse.unquote(password), is_authenticated=True)
        opener.add_handler(urllib.request.HTTPBasicAuthHandler(passwords))
    with opener.open(url, timeout=DOWNLOAD_LIMIT_S) as answer:
        return bytes(answer.read())


if __name__ == "__main__":
    main()
