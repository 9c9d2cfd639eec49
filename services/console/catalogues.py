"""`python -m services.console.catalogues`: bring `locale/*.po` up to date with what pages and templates say.

What is new stands there without a translation, and a test fails until it has one; what nobody says any more is gone.
"""

from io import BytesIO
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from services.console.languages import FOLDER

HERE: Final = Path(__file__).parent
METHODS: Final = [("**.py", "python"), ("templates/**.html", "jinja2")]
OPTIONS: Final = {"templates/**.html": {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}}
KEYWORDS: Final[dict[str, tuple[int, ...] | None]] = {
    "_": None,
    "count": (1, 2),
    "gettext": None,
    "ngettext": (1, 2),
    "phrase": None,
    "say": None,
}
"""How what is to be translated is marked; of some the first two arguments, for one and for many."""
WIDTH: Final = 120


def collected() -> Catalog:
    """All that is said, without translations."""
    catalogue = Catalog(project="tillstream", header_comment="# What the console says.", charset="utf-8")
    found_in = extract_from_dir(str(HERE), METHODS, OPTIONS, KEYWORDS)
    for file, line, message, comments, context in sorted(found_in, key=lambda one: (one[0], one[1])):
        catalogue.add(message, None, [(file, line)], auto_comments=comments, context=context)
    return catalogue


def main() -> None:
    """Write every catalogue anew."""
    for file in sorted(FOLDER.glob("*.po")):
        with file.open("rb") as lines:
            catalogue = read_po(lines, locale=file.stem)
        catalogue.update(collected(), no_fuzzy_matching=True)
        written = BytesIO()
        write_po(written, catalogue, width=WIDTH, omit_header=True, ignore_obsolete=True, no_location=True)
        file.write_bytes(written.getvalue().rstrip() + b"\n")


if __name__ == "__main__":
    main()
