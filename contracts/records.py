"""Commands as records, read straight from bytes, and what they are made of.

What stands here under a model's name is the class of its records: the service that applies commands goes by these, and
what it reads elsewhere (an actor or a tender in a row) it makes one of them, so that equal ones compare as equal. Type
checkers are told that they are the models, whose members they have; of a model they have nothing else.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import commands, values
from contracts.jsontext import BODY_BYTES_MAX, read_object
from contracts.record_classes import proven_text, record_class, record_of

if TYPE_CHECKING:
    from contracts.commands import (
        AmendSession,
        ApproveClosing,
        CloseSession,
        Command,
        CountDrawer,
        ForceClose,
        HandOver,
        MoveCash,
        OpenSession,
        RecordOrder,
        Recount,
        ResumeSession,
        SessionCommand,
        SetProfile,
        SuspendSession,
        VoidMovement,
        VoidSession,
    )
    from contracts.values import Actor, Change, NamedAmount, PaidBefore, Payment, Tax, Tender, TenderAmount
else:
    _PARTS = (
        values.Actor,
        values.Change,
        values.NamedAmount,
        values.PaidBefore,
        values.Payment,
        values.Tax,
        values.Tender,
        values.TenderAmount,
    )
    globals().update({model.__name__: record_class(model) for model in (*commands.COMMANDS.values(), *_PARTS)})
    Command = SessionCommand = msgspec.Struct

__all__ = [
    "Actor",
    "AmendSession",
    "ApproveClosing",
    "Change",
    "CloseSession",
    "Command",
    "CountDrawer",
    "ForceClose",
    "HandOver",
    "MoveCash",
    "NamedAmount",
    "OpenSession",
    "PaidBefore",
    "Payment",
    "RecordOrder",
    "Recount",
    "ResumeSession",
    "SessionCommand",
    "SetProfile",
    "SuspendSession",
    "Tax",
    "Tender",
    "TenderAmount",
    "VoidMovement",
    "VoidSession",
    "decode_likely",
    "proven_text",
    "read_certain",
    "read_stored",
]

_KIND: Final = b'"kind":"'
_DECODERS: Final[dict[bytes, Callable[[bytes], Any]]] = {
    kind.encode(): msgspec.json.Decoder(record_class(model)).decode for kind, model in commands.COMMANDS.items()
}


def decode_likely(body: bytes) -> "Command | None":
    """What a body says if nothing in it is odd; nothing is checked by it, see `proven_text`. Total."""
    at = body.find(_KIND) + len(_KIND)
    decode = _DECODERS.get(body[at : body.find(b'"', at)])
    if decode is None or len(body) > BODY_BYTES_MAX or b"\\" in body or b"\x7f" in body:
        return None
    try:
        command: Command = decode(body)
    except ValueError:
        return None
    return command


def read_certain(body: bytes) -> "tuple[Command, bytes] | None":
    """The command in a body and its canonical text, where both are certain; of all else the model says what it is."""
    command = decode_likely(body)
    text = None if command is None else proven_text(command, body)
    return None if command is None or text is None else (command, text)


def read_stored(body: bytes) -> Any:
    """The command in a body that was accepted once, one of `Command`. Raises ValueError."""
    certain = read_certain(body)
    if certain is not None:
        return certain[0]
    return record_of(commands.read_command(read_object(body)))
