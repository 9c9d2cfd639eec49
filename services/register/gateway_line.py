"""A line to the service by its gateway: each command is posted, and its answer is the reply, or is asked for."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from .entries import CLAIMS_NOTHING, Entry
from .errors import LineDown, NotHere, NotLetIn, NotTaken
from .gateway_http import JSON, GatewayHttp, Heard, Reply
from .settings import RegisterSettings
from .tokens import Tokens

NOBODY_ANSWERED: Final = frozenset({400, 413, 415, 422})
"""What the gateway replies to a body whose sender can't be answered, whoever they are and whenever it comes."""
REMEMBERED_MAX: Final = 1_000
"""Answers that claim nothing: one that is looked at again is not the answer to what was sent since."""


class GatewayLine:
    """Posts commands. What is sent again is the same bytes, and counts once."""

    def __init__(self, settings: RegisterSettings, heard: Heard, steady: Callable[[], float]) -> None:
        """`heard` is told of the service's clock by readings of `steady`. Raises ValueError for a wrong CA file."""
        self.http = GatewayHttp(settings, heard, steady)
        self.tokens = Tokens(settings, self.http)
        self._claimed_nothing = OrderedDict[str, bytes]()

    async def send(self, entry: Entry) -> bytes | None:
        """Its answer, or None where it waits on the topic. Raises LineDown, NotLetIn, NotTaken."""
        reply = await self._request("POST", "/api/commands", entry.body)
        answer = self._answer(reply, entry)
        if answer is None and reply.status in NOBODY_ANSWERED:
            raise NotTaken(reply.sentence)
        if answer is None and reply.status != 202:
            raise reply.down()
        return answer

    async def ask(self, entry: Entry) -> bytes | None:
        """The answer to the command, as it was sent last; None where there is none yet. Raises LineDown, NotLetIn."""
        reply = await self._request("GET", f"/api/commands/{entry.command_id}", None)
        before = entry.answer or self._claimed_nothing.get(entry.command_id)
        answer = self._answer(reply, entry)
        if answer is None and reply.status not in {202, 404}:
            raise reply.down()
        is_old = answer is not None and answer == before and reply.read.get("reason") in CLAIMS_NOTHING
        return None if is_old else answer

    async def close(self) -> None:
        """End the connections."""
        await self.http.close()

    async def _request(self, method: str, path: str, body: bytes | None) -> Reply:
        """Ask with a token; where that counts no more, once again with a new one."""
        for is_last in (False, True):
            token = await self.tokens.of("api")
            headers = {"authorization": f"Bearer {token}"} | ({} if body is None else {"content-type": JSON})
            reply = await self.http.request(method, path, headers, body)
            if reply.status != 401:
                break
            self.tokens.refused("api", token)
            if is_last and reply.is_problem:
                raise NotLetIn(f"The gateway does not let this register in. {self.tokens.advice}")
        if reply.status == 403 and reply.is_problem:
            raise NotHere(f"The gateway lets this register in, and not here: {reply.sentence}")
        return reply

    def _answer(self, reply: Reply, entry: Entry) -> bytes | None:
        """The answer to this command, where the reply is one."""
        if reply.is_problem or reply.status == 202:
            return None
        if not isinstance(reply.read.get("kind"), str) or reply.read.get("command_id") != entry.command_id:
            raise LineDown(f"What {self.http.host} replied is no answer to the command that was sent.", replied=True)
        if reply.read.get("reason") in CLAIMS_NOTHING:
            self._claimed_nothing[entry.command_id] = reply.body
            self._claimed_nothing.move_to_end(entry.command_id)
            while len(self._claimed_nothing) > REMEMBERED_MAX:
                self._claimed_nothing.popitem(last=False)
        return reply.body
