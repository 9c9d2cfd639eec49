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
from contracts.record_classes import Settlers, record_class, record_of, settlers_of

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
    from contracts.values import Actor, NamedAmount, PaidBefore, Payment, Tax, Tender, TenderAmount
else:
    _PARTS = (
        values.Actor,
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
    "read_certain",
    "read_stored",
]

_KIND: Final = b'"kind":"'
_DECODERS: Final[dict[bytes, tuple[Callable[[bytes], Any], Settlers]]] = {
    kind.encode(): (msgspec.json.Decoder(record_class(model)).decode, settlers_of(model))
    for kind, model in commands.COMMANDS.items()
}
_encode: Final = msgspec.json.Encoder().encode


def read_certain(body: bytes) -> "tuple[Command, bytes] | None":
    """The command in a body and its canonical text, where both are certain; of all else the model says what it is.

    Total. What is decoded and written back in as many bytes as it came in held no member twice, no null, no white
    space and no number that is written otherwise: each of them would have made it longer. Without a backslash in it no
    text holds a control character but DEL, nor a lone surrogate.
    """
    at = body.find(_KIND) + len(_KIND)
    known = _DECODERS.get(body[at : body.find(b'"', at)])
    if known is None or len(body) > BODY_BYTES_MAX or b"\\" in body or b"\x7f" in body:
        return None
    decode, settlers = known
    try:
        command = decode(body)
        text = _encode(command)
        if len(text) != len(body):
            return None
        settle = settlers.ascii if body.isascii() else settlers.other
        if settle is not None:
            settle(command)
    except ValueError:
        return None
    return command, text


def read_stored(body: bytes) -> "Command":
    """The command in a body that was accepted once. Raises ValueError."""
    certain = read_certain(body)
    if certain is not None:
        return certain[0]
    command: Command = record_of(commands.read_command(read_object(body)))
    return command
