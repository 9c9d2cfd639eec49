"""The page of pictures shows each picture that there is, and they are small enough to be kept beside the code."""

import re

from tests.console.pictures import FOLDER, PICTURES

BYTES_MAX = 1_500_000
PAGE = FOLDER.with_suffix(".md")


def test_the_page_shows_every_picture_and_says_what_is_on_it() -> None:
    shown = re.findall(r"!\[([^\]]+)\]\(console/([^)]+)\)", PAGE.read_text())
    assert sorted(name for _, name in shown) == sorted(picture.name for picture in PICTURES)
    assert sorted(file.name for file in FOLDER.iterdir()) == sorted(picture.name for picture in PICTURES)


def test_they_are_small_together() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < BYTES_MAX
