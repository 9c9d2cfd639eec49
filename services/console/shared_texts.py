"""Parts of pages that were made a moment ago: who asks for the same in the same words gets the same text.

A hundred managers look at the same tills, and all of their pages ask anew whenever something was sold.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import orjson

TEXTS_CHARACTERS_MAX: Final = 4_194_304
"""Of all texts together. One has 600 a till, in a large store 30,000; what alone has more is made for each who asks.
After a sale the text of before is never asked for again: those that were not for longest go first."""


class SharedTexts:
    """The texts that were asked for last."""

    def __init__(self) -> None:
        self._texts: OrderedDict[bytes, str] = OrderedDict()
        self._size = 0

    def text(self, made_of: Any, make: Callable[[], str]) -> str:
        """What `make` gives, made once for all that it is made of: what JSON can say of figures, words and readers."""
        key = hashlib.sha256(orjson.dumps(made_of)).digest()
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = make()
            self._size += len(text)
        self._texts.move_to_end(key)
        while self._size > TEXTS_CHARACTERS_MAX:
            _, oldest = self._texts.popitem(last=False)
            self._size -= len(oldest)
        return text
