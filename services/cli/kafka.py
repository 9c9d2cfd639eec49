"""The commands of `till` that set Kafka up: the topics, and who may do what with them."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.common import read_settings, run_to_end


def topics() -> None:
    """Create the topics that are missing and compare those that exist. Can be run twice.

    Example: [bold]TILL_TOPIC_PREFIX=north. till topics[/bold]
    """
    from services.platform.kafka.topics import create_topics

    created = run_to_end(create_topics(read_settings()))
    typer.echo(f"Created: {', '.join(created)}." if created else "All topics exist and are as promised.")


def principals(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A folder of passwords: files sessions, gateway, reporting, admin, register-…, closings-….",
            exists=True,
        ),
    ],
) -> None:
    """Set up Kafka's principals till-sessions, till-gateway, …, with a password and the rights that each needs.

    For brokers with SCRAM and an authorizer. A register may write commands and read nothing; closings-… may read the
    closings of all stores, in groups that begin with its name and a dot, and nothing else. Can be run twice.

    Example: [bold]till principals /run/secrets/kafka[/bold]
    """
    from services.operations.kafka_principals import set_up

    typer.echo(f"Set up: {', '.join(run_to_end(set_up(read_settings(), folder)))}.")
