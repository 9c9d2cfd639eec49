"""A line to the service by Kafka: commands go to their topic, and their answers are asked for at the gateway.

A register reads no topic. The token in its records is for the commands topic alone, where others may read it; the one
that asks is never in a record.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from contracts.topics import key_of, topics

from .entries import Entry
from .errors import LineDown, NotLetIn, NotTaken
from .gateway_http import Heard, trust
from .gateway_line import GatewayLine
from .settings import LOOPBACK, RegisterSettings

SENT_WITHIN_S: Final = 20.0
"""The brokers have a command by then, or it is sent again by another connection."""
STOPPED_WITHIN_S: Final = 2.0
NOT_ALLOWED: Final = (
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

log = logging.getLogger("tillstream.register")


class KafkaLine:
    """Publishes commands: all replicas have one when it counts as sent, and what is sent again counts once."""

    def __init__(self, settings: RegisterSettings, heard: Heard, steady: Callable[[], float]) -> None:
        """As GatewayLine. Raises ValueError where the token would be readable on the way."""
        self._settings = settings
        with suppress(NotLetIn):
            connection(settings)
        self._topic = topics(settings.topic_prefix).commands
        self._gateway = GatewayLine(settings, heard, steady)
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._ending = set[asyncio.Task[None]]()

    async def send(self, entry: Entry) -> bytes | None:
        """None: it is on its topic, with all replicas. Raises LineDown, NotLetIn, NotTaken."""
        token = await self._gateway.tokens.of("commands")
        headers = [("authorization", b"Bearer " + token.encode())]
        producer = None
        try:
            async with asyncio.timeout(SENT_WITHIN_S):
                producer = await self._started()
                await producer.send_and_wait(self._topic, entry.body, key_of(*entry.till), headers=headers)
        except MessageSizeTooLargeError:
            raise NotTaken("The command is longer than the brokers take.") from None
        except NOT_ALLOWED as error:
            self._drop(producer)
            raise NotLetIn(f"The brokers do not let this register publish commands: {_name(error)}.") from None
        except (KafkaError, OSError, TimeoutError) as error:
            # The next one begins anew: with new connections, and with the password as it is then.
            self._drop(producer)
            raise LineDown(
                f"The brokers at {self._settings.kafka} do not take commands now: {self._why(error)}."
            ) from None
        return None

    async def ask(self, entry: Entry) -> bytes | None:
        """As GatewayLine: what was answered to a record of before is no answer to this one."""
        answer = await self._gateway.ask(entry)
        if answer is not None and json.loads(answer).get("reason") == "unauthenticated":
            self._gateway.tokens.refused("commands")
        return answer

    async def close(self) -> None:
        """End the connections; what is on its way may be sent again."""
        self._drop(self._producer)
        if self._ending:
            await asyncio.wait(self._ending, timeout=STOPPED_WITHIN_S)
        for task in self._ending:
            task.cancel()
        await self._gateway.close()

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    client_id="tillstream-register",
                    acks="all",
                    enable_idempotence=True,
                    request_timeout_ms=int(SENT_WITHIN_S * 1_000),
                    **connection(self._settings),
                )
                try:
                    await producer.start()
                except BaseException:
                    self._end(producer)
                    raise
                self._producer = producer
            return self._producer

    def _why(self, error: BaseException) -> str:
        """The client tells nobody whether a broker was away or refused the log-in."""
        if isinstance(error, KafkaConnectionError) and self._settings.kafka_user:
            return f"they can't be reached, or do not take the password of {self._settings.kafka_user}"
        return _name(error)

    def _drop(self, producer: AIOKafkaProducer | None) -> None:
        """Use this producer no more, unless another till's command has ended it."""
        if producer is not None and producer is self._producer:
            self._producer = None
            self._end(producer)

    def _end(self, producer: AIOKafkaProducer) -> None:
        """Stop a producer aside: it goes on until what it was given has expired, and would hold up the next one."""
        task = asyncio.create_task(producer.stop(), name="stop a producer")
        self._ending.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.debug("A producer ended badly: %r", task.exception())


def connection(settings: RegisterSettings) -> dict[str, Any]:
    """What aiokafka is given. The password is read anew for every producer. Raises ValueError, NotLetIn."""
    options: dict[str, Any] = {"bootstrap_servers": settings.kafka}
    hosts = {address.strip().rpartition(":")[0].strip("[]") for address in settings.kafka.split(",")}
    in_the_clear = settings.allow_http or hosts <= LOOPBACK
    encrypted = settings.kafka_ca_file is not None or bool(settings.kafka_user and not in_the_clear)
    if not encrypted and not in_the_clear:
        raise ValueError(
            "A token would be readable on the way to the brokers: set TILL_REGISTER_KAFKA_CA_FILE or _KAFKA_USER for "
            "TLS, or TILL_REGISTER_ALLOW_HTTP=true in a closed network."
        )
    if encrypted:
        options["ssl_context"] = trust(settings.kafka_ca_file)
    options["security_protocol"] = ("SASL_" if settings.kafka_user else "") + ("SSL" if encrypted else "PLAINTEXT")
    if settings.kafka_user:
        file = settings.kafka_password_file
        if file is None:
            raise ValueError("TILL_REGISTER_KAFKA_USER needs TILL_REGISTER_KAFKA_PASSWORD_FILE.")
        options |= {
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": settings.kafka_user,
            "sasl_plain_password": _read(file),
        }
    return options


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise NotLetIn(f"The password for the brokers can't be read in {file}: {error}.") from None


def _name(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200].rstrip(".")
