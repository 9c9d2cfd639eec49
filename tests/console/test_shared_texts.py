"""Parts of pages are made once for all who would get the same, and for nobody else."""

from services.console.shared_texts import TEXTS_CHARACTERS_MAX, SharedTexts


def test_what_is_made_of_the_same_is_made_once() -> None:
    shared, makings = SharedTexts(), list[str]()

    def make(words: str) -> str:
        makings.append(words)
        return words

    for _ in range(3):
        assert shared.text([{"orders": 3}, "en", True], lambda: make("three")) == "three"
    assert makings == ["three"]


def test_another_figure_reader_or_language_is_another_text() -> None:
    shared = SharedTexts()
    others = ([{"orders": 3}, "en", True], [{"orders": 4}, "en", True], [{"orders": 3}, "es", True], [{}, "en", False])
    for number, made_of in enumerate(others):
        assert shared.text(made_of, lambda number=number: str(number)) == str(number)  # type: ignore[misc]


def test_no_more_is_kept_than_has_room() -> None:
    shared, half = SharedTexts(), "x" * (TEXTS_CHARACTERS_MAX // 2)
    for number in range(3):
        shared.text(number, lambda: half)
        shared.text(0, lambda: half)
    assert shared.text(0, lambda: "made anew") == half
    assert shared.text(2, lambda: "made anew") == half
    assert shared.text(1, lambda: "made anew") == "made anew"


def test_what_alone_is_too_long_is_made_each_time() -> None:
    shared = SharedTexts()
    assert len(shared.text(0, lambda: "x" * (TEXTS_CHARACTERS_MAX + 1))) == TEXTS_CHARACTERS_MAX + 1
    assert shared.text(0, lambda: "made anew") == "made anew"
