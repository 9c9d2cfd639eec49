"""Whether Hypothesis tries its laws and machines at length: `pytest tests/rules --hypothesis-profile=thorough`."""

from hypothesis import settings

settings.register_profile("thorough", max_examples=10_000, deadline=None, print_blob=True)


def is_thorough() -> bool:
    """Asked for when tests are collected: the profile is loaded after conftest.py."""
    return settings.get_current_profile_name() == "thorough"


def examples() -> settings:
    """How a law is tried: at as many examples as the thorough profile says, else at a few, the same each time."""
    return settings(deadline=None) if is_thorough() else settings(max_examples=60, deadline=None, derandomize=True)
