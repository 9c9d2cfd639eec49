"""The peers: other ways to do the same work, one module each.

Each module says `NAME`, `answers_topic`, `prepare` and `command_line`, and the bench knows no more of it than that.
"""


class PeerMissing(Exception):
    """What this peer needs is not on this machine; the message says what. The others go on without it."""
