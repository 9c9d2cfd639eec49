"""The root of all errors of the register's side."""


class RegisterError(Exception):
    """What this side itself raises; the message is a sentence for whoever has to do something about it.

    The tree::

        RegisterError
        ├── LineDown        the service can't be reached, or asks to come later
        ├── NotLetIn        the service does not let this register in: its key, token or rights
        │   └── NotHere     it does, and not into the store of this command
        ├── NotTaken        the service says that nobody would be answered for this body
        ├── OutboxInUse     another program has the outbox open
        ├── OutboxFull      nothing was taken: the disk has no room, or the outbox holds as much as it may
        ├── OutboxDamaged   the file is no outbox, or its disk does not keep what it is told to
        ├── IdTaken         another command was taken under this id
        ├── NoSuchEntry     nothing was taken under this id
        ├── NotWaiting      what is to be given up is not waiting for a person
        ├── NothingOpen     a command names no session, and none is open here
        └── StillOpen       an opening names no session, and one is open here

    What a command itself does wrong is `contracts.commands.Malformed`, a ValueError with the errors of each field.
    """


class LineDown(RegisterError):
    """The service can't be reached, or asks to come later; `retry_after_s` where it says when.

    `replied`: it was reached and made nothing of what was asked, which may be this command's own trouble.
    """

    def __init__(self, sentence: str, retry_after_s: float | None = None, *, replied: bool = False) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s
        self.replied = replied


class NotLetIn(RegisterError):
    """The service does not let this register in: nothing goes out until its key, token or rights are seen to."""


class NotHere(NotLetIn):
    """The service lets this register in, and not into the store of this command: its till waits, others go on."""


class NotTaken(RegisterError):
    """The service says that nobody would be answered for this body, now or later."""


class OutboxInUse(RegisterError):
    """Another program has the outbox open: two would send each other's commands."""


class OutboxFull(RegisterError):
    """Nothing was taken: the disk has no room, or the outbox holds as much as it may."""


class OutboxDamaged(RegisterError):
    """The file is no outbox of this version, or its disk does not keep what it is told to."""


class IdTaken(RegisterError):
    """Another command was taken under this id, or under this Idempotency-Key."""


class NoSuchEntry(RegisterError):
    """Nothing was taken under this id."""


class NotWaiting(RegisterError):
    """What is to be given up is not waiting for a person."""


class NothingOpen(RegisterError):
    """A command names no session, and none is open at its till, as far as this outbox knows."""


class StillOpen(RegisterError):
    """An opening names no session, and one is open at its till, as far as this outbox knows.

    It is taken with `"instead": true`, for a session that was closed elsewhere.
    """
