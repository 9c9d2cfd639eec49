"""The pages are true: links lead somewhere, files and commands that they name are there, and lines can be read."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from deploy.till import app

TOP = Path(__file__).parents[2]
FOLDERS = ("contracts", "deploy", "docs", "services", "tests")
PAGES = sorted([*TOP.glob("*.md"), *(page for folder in FOLDERS for page in (TOP / folder).rglob("*.md"))])
NAMES = [str(page.relative_to(TOP)) for page in PAGES]
DECISIONS = TOP / "docs" / "decisions"

LINE_CHARACTERS_MAX = 150
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)
FILE = re.compile(r"(?:[\w.-]+/)+[\w.-]+\.(?:csv|java|json|jsonl|lock|md|py|sql|toml|txt|xml|yaml|yml)")
CODE_LINE = re.compile(r"^ {4,}(.+)$", re.MULTILINE)
TILL = re.compile(r"(?:^|[\s/(\"])till((?: +[^\s|;)<]+)+)")
MAKE = re.compile(r"(?:^|[\s;&])make ([a-z][a-z-]*)")
DECISION_PARTS = ["Context", "Decision", "Consequences", "Alternatives refused", "Look again when"]


def prose(page: Path) -> str:
    """The page without what it tells people to type."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> Iterator[str]:
    for link in LINK.finditer(SPAN.sub("", prose(page))):
        target = link[1] or link[2]
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(page: Path) -> Iterator[str]:
    """What the page tells people to type, and what stands among its sentences as code, without comments."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in FENCED.findall(text) for line in block.splitlines()[1:-1]]
    lines += [*CODE_LINE.findall(FENCED.sub("", text)), *SPAN.findall(prose(page))]
    for line in lines:
        yield " ".join(line.partition(" #")[0].split())


def wrong_in(words: list[str]) -> str | None:
    """What the command line `till` has not of these words behind its name."""
    command = get_command(app)
    while isinstance(command, TyperGroup) and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        if words[0] not in command.commands:
            return words[0]
        command = command.commands[words.pop(0)]
    known = {"--help", *(name for option in command.params for name in (*option.opts, *option.secondary_opts))}
    return next((word for word in words if word.startswith("--") and word.partition("=")[0] not in known), None)


def test_there_are_pages() -> None:
    assert {"README.md", "contracts/WIRE.md", "docs/architecture.md"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_to_a_file_and_its_heading(name: str) -> None:
    page = TOP / name
    broken = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        if not goal.exists() or (anchor and anchor not in anchors(goal)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_a_page_names_is_there(name: str) -> None:
    page = TOP / name
    named = [span for span in SPAN.findall(prose(page)) if FILE.fullmatch(span)]
    assert [file for file in named if not (TOP / file).exists() and not (page.parent / file).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_command_that_a_page_names_can_be_typed(name: str) -> None:
    lines = list(code(TOP / name))
    spoken = [words.strip().rstrip('"').split() for line in lines for words in TILL.findall(line)]
    assert [wrong for words in spoken if (wrong := wrong_in(words))] == []
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert [target for line in lines for target in MAKE.findall(line) if target not in targets] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_line_is_too_long_to_read(name: str) -> None:
    lines = enumerate((TOP / name).read_text(encoding="utf-8").splitlines(), start=1)
    # All members of a kind, and all that is said of an input, stand in one row of a table.
    spared = "|" if name in {"contracts/WIRE.md", "docs/threats.md"} else "\0"
    assert [n for n, line in lines if len(line) > LINE_CHARACTERS_MAX and not line.startswith(spared)] == []


def test_every_decision_has_its_number_its_parts_and_its_row() -> None:
    decisions = sorted(DECISIONS.glob("[0-9]*.md"))
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d{4})\]\((.+?)\) \| (.+) \|$", index, re.MULTILINE)

    expected = []
    for number, page in enumerate(decisions, start=1):
        text = page.read_text(encoding="utf-8")
        title = text.splitlines()[0].removeprefix(f"# {number:04}. ")
        expected.append((f"{number:04}", page.name, title))
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == DECISION_PARTS, page.name
        assert re.search(r"^\*\*Status:\*\* \w+", text, re.MULTILINE), page.name
    assert rows == expected
