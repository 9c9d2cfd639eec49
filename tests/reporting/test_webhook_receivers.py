"""What docs/webhooks.md gives receivers to begin with, run as it stands there: in Node, and in Python."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import contracts
from services.reporting.webhooks.messages import message_of
from services.reporting.webhooks.signing import new_secret, shown, signed_headers
from tests.reporting.closing_messages import closing, value

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
PACKAGE = Path(__file__).parent / "webhook-receiver"
VECTOR = json.loads((Path(contracts.__file__).parent / "golden" / "webhooks" / "signature.json").read_bytes())
READ = """
import { readFileSync } from "node:fs";
const { secret, headers, body } = JSON.parse(readFileSync(0, "utf8"));
const requestHeaders = headers, requestBody = body;
"""


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def request(secret: bytes) -> dict[str, Any]:
    message = message_of(value(closing(1, closing_note="Lucía ✓")))
    headers = dict(signed_headers(message.id, int(time.time()), message.body, [new_secret(), secret]))
    return {"secret": shown(secret), "headers": headers, "body": message.body.decode()}


def run(folder: Path, script: str, vector: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Needs node: it is not on this machine.")
    (folder / "receiver.mjs").write_text(READ + script, encoding="utf-8")
    command = [node, "receiver.mjs"]
    return subprocess.run(
        command, check=False, cwd=folder, input=json.dumps(vector), capture_output=True, text=True, timeout=60
    )


def test_the_example_with_a_library_runs_in_node(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("Needs npm: it is not on this machine.")
    folder = shutil.copytree(PACKAGE, tmp_path / "receiver", ignore=shutil.ignore_patterns("node_modules"))
    command = [npm, "ci", "--no-audit", "--no-fund"]
    built = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=240)
    if built.returncode:
        pytest.skip(f"npm ci did not work, perhaps for want of a line:\n{built.stdout}{built.stderr}")
    example, _ = examples("js")
    fresh = request(new_secret())

    taken = run(folder, f"{example}\nconsole.log(JSON.stringify(message));", fresh)
    assert json.loads(taken.stdout) == json.loads(fresh["body"]), taken.stderr
    forged = run(folder, example, fresh | {"body": fresh["body"].replace("Parrot Cafe", "Parrot Café")})
    assert (forged.returncode, "WebhookVerificationError" in forged.stderr) == (1, True)

    sign = 'new Webhook(secret).sign(headers["webhook-id"], new Date(headers["webhook-timestamp"] * 1000), body)'
    signed = run(folder, f"{example.splitlines()[0]}\nconsole.log({sign});", VECTOR)
    assert signed.stdout.strip() == VECTOR["headers"]["webhook-signature"]


def test_the_example_without_a_library_runs_in_node(tmp_path: Path) -> None:
    _, example = examples("js")
    script = f"{example}\nconsole.log(isOurs);"
    fresh = request(new_secret())
    for one, ours in ((VECTOR, "true"), (fresh, "true"), (fresh | {"body": fresh["body"] + " "}, "false")):
        assert run(tmp_path, script, one).stdout.strip() == ours


def test_the_example_runs_in_python() -> None:
    (example,) = examples("python")
    fresh = request(new_secret())
    names = {"secret": fresh["secret"], "request_body": fresh["body"].encode(), "request_headers": fresh["headers"]}
    exec(example, names)  # noqa: S102  It is what people copy.
    assert names["message"] == json.loads(fresh["body"])
