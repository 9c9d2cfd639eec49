"""Who may do what on Kafka: a principal with a password for each service and for the registers, and their ACLs."""

import asyncio
from pathlib import Path
from typing import Final, Literal, NamedTuple

from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    UserScramCredentialUpsertion,
)
from kafka.errors import NoError
from kafka.protocol.admin import AlterClientQuotasRequest

from contracts.topics import TOPIC_CONFIGS
from services.platform.errors import TillError
from services.platform.kafka.topics import admin_client
from services.platform.settings import Settings

PREFIX: Final = "till-"
ADMIN: Final = "admin"
REGISTER: Final = "register"
CLOSINGS: Final = "closings"
"""Whoever reads closings and nothing else: one for each sink or program, `closings-…`."""

PRODUCER_BYTES_PER_S: Final = 524_288
"""What a register's principal may put on a broker: 1,000 commands of 500 bytes a second. More waits, none is lost.
Two seconds of it may lie ahead of a store at once; see QUOTA_WINDOWS."""
REQUEST_PERCENT: Final = 50
"""Of one thread of a broker, the share of time that a register's principal may take with its requests."""
QUOTA_WINDOWS: Final = 2
"""Of one second each, by which brokers measure the quotas (`quota.window.num`): the fewest that measure a rate. Kafka's
11 would let ten seconds of a quota through at once, and whoever lies behind it in the log waits for all of that."""


class Right(NamedTuple):
    """What may be done with one topic or group, or with all whose names begin so."""

    kind: ResourceType
    name: str
    operation: ACLOperation
    pattern: ACLResourcePatternType = ACLResourcePatternType.LITERAL


class PrincipalsWrong(TillError, ValueError):
    """A principal could not be set up; the message says why."""


def rights(settings: Settings, name: str) -> set[Right]:
    """What a principal may do. Registers may put commands and read nothing; the admin's rights are the brokers' to say.

    Readers of closings have all groups that begin with their own name and a dot. Raises PrincipalsWrong for a name that
    is nobody's.
    """
    topics, describe = settings.topics, {ACLOperation.DESCRIBE, ACLOperation.DESCRIBE_CONFIGS}
    names = [settings.topic_prefix + suffix for suffix in TOPIC_CONFIGS]
    # Workers and gateways compare all topics with what the wire promises before they start.
    compared = {Right(ResourceType.TOPIC, topic, operation) for topic in names for operation in describe}
    compared.add(Right(ResourceType.TOPIC, topics.access, ACLOperation.READ))
    # WRITE includes the idempotent producer; READ and WRITE include DESCRIBE.
    if name == "sessions":
        return compared | {
            Right(ResourceType.TOPIC, topics.commands, ACLOperation.READ),
            Right(ResourceType.GROUP, settings.sessions_group, ACLOperation.READ),
            *(Right(ResourceType.TOPIC, topic, ACLOperation.WRITE) for topic in names if topic != topics.access),
        }
    if name == "gateway":
        return compared | {
            Right(ResourceType.TOPIC, topics.commands, ACLOperation.WRITE),
            Right(ResourceType.TOPIC, topics.events, ACLOperation.READ),
            # Beside the office's, its principal alone says who is revoked.
            Right(ResourceType.TOPIC, topics.access, ACLOperation.WRITE),
        }
    if name == "reporting":
        # It looks at no topic but what it follows, and of the closings whether they are kept.
        return {
            *(Right(ResourceType.TOPIC, followed, ACLOperation.READ) for followed in _followed(settings)),
            Right(ResourceType.TOPIC, settings.closings, ACLOperation.DESCRIBE_CONFIGS),
            Right(ResourceType.GROUP, settings.reporting_group, ACLOperation.READ),
        }
    if name.partition("-")[0] == REGISTER:
        return {Right(ResourceType.TOPIC, topics.commands, ACLOperation.WRITE)}
    # With a dot in it, its groups would be among those of another.
    if name.partition("-")[0] == CLOSINGS and "." not in name:
        return {
            Right(ResourceType.TOPIC, settings.closings, ACLOperation.READ),
            Right(ResourceType.GROUP, _groups(PREFIX + name), ACLOperation.READ, ACLResourcePatternType.PREFIXED),
        }
    if name == ADMIN:
        return set()
    raise PrincipalsWrong(
        f"{name} is no principal: name a file sessions, gateway, reporting, admin, register-… or closings-…."
    )


def _groups(user: str) -> str:
    """What all groups of a reader begin with: by the dot none is another's whose name begins as its own does."""
    return f"{user}."


def _followed(settings: Settings) -> set[str]:
    """What the reporting reader follows: topics that were mirrored have other names, and revocations may have none."""
    followed = settings.followed
    return {topic for topic in (followed.closings, followed.access) if topic}


async def set_up(settings: Settings, folder: Path) -> list[str]:
    """Give each file's principal, `till-` and its name, the password in it, and the rights of its name; their names.

    Can be run twice: passwords are those of the files afterwards, and other rights on these topics and groups are gone.
    Raises PrincipalsWrong, OSError, and TopicsWrong for what the broker refuses.
    """
    return await asyncio.to_thread(_set_up, settings, folder)


def _set_up(settings: Settings, folder: Path) -> list[str]:
    files = [file for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
    passwords = {file.name: file.read_text(encoding="utf-8").strip() for file in files}
    principals = {name: rights(settings, name) for name in passwords}
    own = settings.kafka_sasl_mechanism
    mechanism = own if own.startswith("SCRAM") else "SCRAM-SHA-512"
    with admin_client(settings) as admin:
        reply = admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(PREFIX + name, mechanism, word) for name, word in passwords.items()]
        )
        if refused := {user: why for user, why in reply.items() if why}:
            raise PrincipalsWrong(f"Kafka refused these passwords: {refused}.")
        for name, allowed in principals.items():
            _allow(admin, settings, PREFIX + name, allowed)
            if name.partition("-")[0] == REGISTER:
                limit(admin, PREFIX + name)
    return [PREFIX + name for name in passwords]


def _allow(admin: KafkaAdminClient, settings: Settings, user: str, allowed: set[Right]) -> None:
    # New rights first, then the removal of others: whoever works meanwhile keeps what both have.
    reply = admin.create_acls([_acl(user, right) for right in sorted(allowed)])
    if reply["failed"]:
        raise PrincipalsWrong(f"Kafka refused rights of {user}: {reply['failed']}. Does it have an authorizer?")
    ours = {settings.sessions_group, settings.reporting_group, _groups(user), *_followed(settings)}
    ours |= {settings.topic_prefix + suffix for suffix in TOPIC_CONFIGS}
    everything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    acls, error = admin.describe_acls(
        ACLFilter(f"User:{user}", None, ACLOperation.ANY, ACLPermissionType.ANY, everything)
    )
    if error is not NoError:
        raise PrincipalsWrong(f"Kafka does not tell the rights of {user}: {error.__name__}.")
    others = [acl for acl in acls if acl.resource_pattern.resource_name in ours and _right(acl) not in allowed]
    if others:
        admin.delete_acls(others)


def limit(admin: KafkaAdminClient, name: str, entity: Literal["user", "client-id"] = "user") -> None:
    """Set how much this principal may put on each broker; a `client-id` where brokers know no principals.

    Raises PrincipalsWrong.
    """
    quotas = {"producer_byte_rate": float(PRODUCER_BYTES_PER_S), "request_percentage": float(REQUEST_PERCENT)}
    entry = AlterClientQuotasRequest.EntryData(
        entity=[AlterClientQuotasRequest.EntryData.EntityData(entity_type=entity, entity_name=name)],
        ops=[AlterClientQuotasRequest.EntryData.OpData(key=k, value=v, remove=False) for k, v in quotas.items()],
    )
    request = AlterClientQuotasRequest(entries=[entry], validate_only=False)
    # The client library has the request, and no method for it.
    reply = admin._manager.run(admin._manager.send, request)  # noqa: SLF001
    if refused := [entry.error_message for entry in reply.entries if entry.error_code]:
        raise PrincipalsWrong(f"Kafka refused the quotas of {name}: {refused}.")


def _acl(user: str, right: Right) -> ACL:
    pattern = ResourcePattern(right.kind, right.name, right.pattern)
    return ACL(f"User:{user}", "*", right.operation, ACLPermissionType.ALLOW, pattern)


def _right(acl: ACL) -> Right:
    pattern = acl.resource_pattern
    return Right(pattern.resource_type, pattern.resource_name, acl.operation, pattern.pattern_type)
