"""Who asks how a process is gets in where all its connections are in use: a few at once, for one reply each."""

from typing import Final

PROBES_MAX: Final = 8
"""Connections beyond the last that are served at once, on each of the paths."""
PATHS: Final = frozenset({b"/health/live", b"/health/ready", b"/metrics"})
PROBE_URL_BYTES_MAX: Final = 64
"""Path and query of a probe; who asks with more is none."""


class Probes:
    """Those of one listener that have no reply yet, with the path that they asked."""

    def __init__(self) -> None:
        self._asking: dict[object, bytes] = {}

    def let_in(self, who: object, url: bytes) -> bool:
        """Whether this connection, whose head is whole and asks for `url`, is served; if so until it leaves."""
        path = url.partition(b"?")[0].removesuffix(b"/")
        if len(url) > PROBE_URL_BYTES_MAX or path not in PATHS or who in self._asking:
            return False
        if list(self._asking.values()).count(path) >= PROBES_MAX:
            return False
        self._asking[who] = path
        return True

    def leave(self, who: object) -> None:
        """Its reply is written, or it is gone."""
        self._asking.pop(who, None)
