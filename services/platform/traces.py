"""W3C trace context: the one header that lets a request, its command and its answer be found by one id."""

import re
import secrets
from dataclasses import dataclass
from typing import Final

_FORM: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]{0,200})?")
_NO_TRACE: Final = b"0" * 32
_NO_SPAN: Final = b"0" * 16


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace, and what its sender said of it."""

    trace_id: bytes
    flags: bytes

    def span(self) -> bytes:
        """The header of a new span in this trace."""
        return b"00-%s-%s-%s" % (self.trace_id, secrets.token_hex(8).encode(), self.flags)


def trace_of(traceparent: bytes | None) -> Trace:
    """The trace that a header names; a new one where there is no header, or none that can be read."""
    match = _FORM.fullmatch(traceparent or b"")
    if match is not None:
        version, trace_id, span, flags, more = match.groups()
        # Later versions may say more behind what all have; this one may not.
        known = version != b"ff" and (version != b"00" or more is None)
        if known and trace_id != _NO_TRACE and span != _NO_SPAN:
            return Trace(trace_id, flags)
    return Trace(secrets.token_hex(16).encode(), b"00")
