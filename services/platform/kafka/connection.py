"""How every client reaches Kafka: where it is, and who the client says it is."""

import ssl
from pathlib import Path
from typing import Any

from services.platform.kafka.oauth import Tokens, client_credentials, for_aiokafka, for_kafka_python, signed_for_aws
from services.platform.kafka.outages import bear_outages
from services.platform.kafka.undecodable import read_all_records
from services.platform.settings import Settings


def connection(settings: Settings) -> dict[str, Any]:
    """What a client of aiokafka is given beside its own options.

    The password is read anew for every client, so that one that was changed counts without a restart. From then on no
    record stops a consumer of this process, and no outage keeps one from being stopped. Raises ValueError with a
    sentence.
    """
    read_all_records()
    bear_outages()
    options = _options(settings)
    if _bears_token(settings):
        options["sasl_oauth_token_provider"] = for_aiokafka(_tokens(settings), _extensions(settings))
    return options


def admin_connection(settings: Settings) -> dict[str, Any]:
    """The same for a client of kafka-python, which asks for tokens otherwise. Raises ValueError with a sentence."""
    options = _options(settings)
    if _bears_token(settings):
        options["sasl_oauth_token_provider"] = for_kafka_python(_tokens(settings), _extensions(settings))
    return options


def _options(settings: Settings) -> dict[str, Any]:
    """What both libraries know by the same names."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "security_protocol": settings.kafka_security.upper(),
    }
    if settings.kafka_security.endswith("ssl"):
        options["ssl_context"] = _trust(settings)
    if not settings.kafka_security.startswith("sasl"):
        return options
    if _bears_token(settings):
        return options | {"sasl_mechanism": "OAUTHBEARER"}
    user, password_file = _log_in(settings)
    password = _read(password_file)
    return options | {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": user,
        "sasl_plain_password": password,
    }


def _bears_token(settings: Settings) -> bool:
    return settings.kafka_security.startswith("sasl") and settings.kafka_sasl_mechanism in {
        "OAUTHBEARER",
        "AWS_MSK_IAM",
    }


def _tokens(settings: Settings) -> Tokens:
    if settings.kafka_sasl_mechanism == "AWS_MSK_IAM":
        if settings.kafka_aws_region is None:
            raise ValueError("TILL_KAFKA_SASL_MECHANISM=AWS_MSK_IAM needs TILL_KAFKA_AWS_REGION.")
        return signed_for_aws(settings.kafka_aws_region)
    if settings.kafka_token_url is None:
        raise ValueError("TILL_KAFKA_SASL_MECHANISM=OAUTHBEARER needs TILL_KAFKA_TOKEN_URL, where tokens are had.")
    user, secret_file = _log_in(settings)
    _read(secret_file)
    return client_credentials(
        settings.kafka_token_url, user, secret_file, settings.kafka_token_scope, settings.kafka_token_ca_file
    )


def _extensions(settings: Settings) -> dict[str, str]:
    return dict(word.split("=", 1) for word in filter(None, settings.kafka_sasl_extensions.split(",")))


def _log_in(settings: Settings) -> tuple[str, Path]:
    if settings.kafka_user is None or settings.kafka_password_file is None:
        raise ValueError(f"TILL_KAFKA_SECURITY={settings.kafka_security} needs TILL_KAFKA_USER and _PASSWORD_FILE.")
    return settings.kafka_user, settings.kafka_password_file


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"{file} can't be read: {error.strerror}.") from None


def _trust(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file)
    except OSError as error:
        raise ValueError(f"{settings.kafka_ca_file} holds no certificates: {error}.") from None
    cert_file, key_file = settings.kafka_cert_file, settings.kafka_key_file
    if cert_file is None and key_file is None:
        return context
    if cert_file is None or key_file is None:
        raise ValueError("TILL_KAFKA_CERT_FILE and TILL_KAFKA_KEY_FILE belong together: set both or neither.")
    try:
        # A key with a pass phrase would be asked for at a terminal that nobody looks at.
        context.load_cert_chain(cert_file, key_file, password=lambda: "")
    except (OSError, ValueError) as error:
        raise ValueError(f"{cert_file} and {key_file} are no certificate and its key: {error}.") from None
    return context
