"""Parts of pages are made once for all who would get the same, and for nobody else."""

from services.console.kept import TEXTS_MAX, Kept


def test_what_is_made_of_the_same_is_made_once() -> None:
    kept, made = Kept(), list[str]()

    def make(words: str) -> str:
        made.append(words)
        return words

    for _ in range(3):
        assert kept.text([{"orders": 3}, "en", True], lambda: make("three")) == "three"
    assert made == ["three"]


def test_another_figure_reader_or_language_is_another_text() -> None:
    kept = Kept()
    others = ([{"orders": 3}, "en", True], [{"orders": 4}, "en", True], [{"orders": 3}, "es", True], [{}, "en", False])
    for number, made_of in enumerate(others):
        assert kept.text(made_of, lambda number=number: str(number)) == str(number)  # type: ignore[misc]


def test_no_more_is_kept_than_has_room() -> None:
    kept = Kept()
    for number in range(TEXTS_MAX + 1):
        kept.text(number, lambda: "first")
        kept.text(0, lambda: "first")
    assert kept.text(0, lambda: "made anew") == "first"
    assert kept.text(1, lambda: "made anew") == "made anew"
