"""Parts of pages that were made a moment ago: who asks for the same in the same words gets the same text.

A hundred managers look at the same tills, and all of their pages ask anew whenever something was sold.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import orjson

TEXTS_MAX: Final = 64
"""Texts, of so many stores and kinds of readers together. Each has 600 bytes a till, in a large store some 30 kB."""


class SharedTexts:
    """The texts that were asked for last."""

    def __init__(self) -> None:
        self._texts: OrderedDict[bytes, str] = OrderedDict()

    def text(self, made_of: Any, make: Callable[[], str]) -> str:
        """What `make` gives, made once for all that it is made of: what JSON can say of figures, words and readers."""
        key = hashlib.sha256(orjson.dumps(made_of)).digest()
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = make()
            if len(self._texts) > TEXTS_MAX:
                self._texts.popitem(last=False)
        self._texts.move_to_end(key)
        return text
