"""The tables of the textbook way, as SQLAlchemy's documentation declares them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Index, MetaData, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA = "textbook"


class Base(DeclarativeBase):
    metadata = MetaData(schema=SCHEMA)
    type_annotation_map = {dict[str, Any]: JSONB, datetime: DateTime(timezone=True)}  # noqa: RUF012 - as documented


class Till(Base):
    """A profile and its counters."""

    __tablename__ = "tills"

    store_id: Mapped[str] = mapped_column(primary_key=True)
    profile_id: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str]
    z_number: Mapped[int] = mapped_column(default=0)
    open_session_id: Mapped[UUID | None]


class Session(Base):
    """A session with its running totals by tender."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("one_open", "store_id", "profile_id", unique=True, postgresql_where=text("state = 'open'")),
    )

    store_id: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(primary_key=True)
    profile_id: Mapped[str]
    state: Mapped[str]
    sequence: Mapped[int]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    totals: Mapped[dict[str, Any]]


class Entry(Base):
    """An accepted command: one line of the journal."""

    __tablename__ = "journal"
    __table_args__ = (
        Index("entries_of_a_session", "store_id", "session_id", "sequence", unique=True),
        Index(
            "revisions_of_an_order",
            *("store_id", "session_id", "order_id", "revision"),
            unique=True,
            postgresql_where=text("order_id IS NOT NULL"),
        ),
    )

    store_id: Mapped[str] = mapped_column(primary_key=True)
    command_id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID]
    sequence: Mapped[int]
    received_at: Mapped[datetime]
    order_id: Mapped[str | None]
    revision: Mapped[int | None]
    command: Mapped[dict[str, Any]]


class Answer(Base):
    """What a command was answered, so that it is answered the same again."""

    __tablename__ = "answers"

    store_id: Mapped[str] = mapped_column(primary_key=True)
    command_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[UUID]
    kind: Mapped[str]
    received_at: Mapped[str]
    value: Mapped[bytes]
