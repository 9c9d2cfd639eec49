"""How every client reaches Kafka: where it is, and who the client says it is."""

import ssl
from typing import Any, Final

from services.platform.kafka.undecodable import read_all_records
from services.platform.settings import Settings

MECHANISM: Final = "SCRAM-SHA-512"


def connection(settings: Settings) -> dict[str, Any]:
    """What a client of aiokafka or kafka-python is given beside its own options; both use the same names.

    The password is read anew for every client, so that one that was changed counts without a restart. From then on no
    record stops a consumer of this process. Raises ValueError with a sentence.
    """
    read_all_records()
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "security_protocol": settings.kafka_security.upper(),
    }
    if settings.kafka_security.endswith("ssl"):
        options["ssl_context"] = _trust(settings)
    if settings.kafka_security.startswith("sasl"):
        options |= {"sasl_mechanism": MECHANISM, "sasl_plain_username": settings.kafka_user}
        options["sasl_plain_password"] = _password(settings)
    return options


def _password(settings: Settings) -> str:
    if settings.kafka_user is None or settings.kafka_password_file is None:
        raise ValueError(f"TILL_KAFKA_SECURITY={settings.kafka_security} needs TILL_KAFKA_USER and _PASSWORD_FILE.")
    try:
        return settings.kafka_password_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"{settings.kafka_password_file} can't be read: {error.strerror}.") from None


def _trust(settings: Settings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.kafka_ca_file)
    except OSError as error:
        raise ValueError(f"{settings.kafka_ca_file} holds no certificates: {error}.") from None
