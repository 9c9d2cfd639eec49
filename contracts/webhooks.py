"""What is pushed to receivers over HTTP: a record of the closings topic in an envelope, or a trial of the receiver."""

from typing import Final, Literal

from contracts.values import Uuid, Wire

TRIAL: Final = "test"
TRIAL_TEXT: Final = "No closing: somebody tries whether this receiver takes what is signed. ¿Todo bien?"


class Trial(Wire):
    """Somebody tries a receiver, at any time: it answers 2xx and does nothing. No promise of order or number."""

    kind: Literal["test"] = "test"
    webhook_id: Uuid
    text: str
