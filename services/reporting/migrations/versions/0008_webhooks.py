"""Where closings are pushed to: endpoints with how far each has come, their secrets, and what became of each try."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Makes the schema `webhooks`: one of its own, so that who reads closings does not read secrets."""
    op.execute("CREATE SCHEMA webhooks")
    # A push has no queue: what an endpoint still gets is what lies behind its cursor on the topic, but for `delivered`,
    # the messages behind it that were taken while one before them was not. No stores: all of them.
    op.execute("""
        CREATE TABLE webhooks.endpoints (
            webhook_id      uuid        NOT NULL DEFAULT gen_random_uuid(),
            made_at         timestamptz NOT NULL DEFAULT now(),
            url             text        NOT NULL,
            stores          text[],
            types           text[]      NOT NULL,
            cursor          jsonb       NOT NULL,
            delivered       text[]      NOT NULL DEFAULT '{}',
            paused_because  text,
            failing_message text,
            failing_because text,
            failing_since   timestamptz,
            tries           int         NOT NULL DEFAULT 0,
            is_slow         boolean     NOT NULL DEFAULT false,
            next_try_at     timestamptz NOT NULL DEFAULT now(),
            attempts        bigint      NOT NULL DEFAULT 0,
            lease           uuid,
            leased_until    timestamptz,
            CONSTRAINT endpoints_pkey PRIMARY KEY (webhook_id),
            CONSTRAINT endpoints_name_a_store CHECK (cardinality(stores) > 0),
            CONSTRAINT endpoints_name_types CHECK (types <@ '{closing,closing_correction}' AND cardinality(types) > 0),
            CONSTRAINT endpoints_fail_or_not CHECK ((tries = 0) = (failing_since IS NULL)
                                                    AND (tries = 0) = (failing_message IS NULL)),
            CONSTRAINT endpoints_lease_has_an_end CHECK ((lease IS NULL) = (leased_until IS NULL))
        )
    """)
    op.execute("""
        CREATE TABLE webhooks.secrets (
            webhook_id  uuid        NOT NULL,
            made_at     timestamptz NOT NULL DEFAULT now(),
            valid_until timestamptz,
            key         bytea       NOT NULL,
            CONSTRAINT secrets_pkey PRIMARY KEY (webhook_id, made_at),
            CONSTRAINT secrets_webhook_fkey FOREIGN KEY (webhook_id) REFERENCES webhooks.endpoints ON DELETE CASCADE,
            CONSTRAINT secrets_are_long CHECK (octet_length(key) BETWEEN 24 AND 64)
        )
    """)
    op.execute("""
        CREATE TABLE webhooks.deliveries (
            webhook_id uuid        NOT NULL,
            number     bigint      NOT NULL,
            sent_at    timestamptz NOT NULL,
            message_id text        NOT NULL,
            type       text        NOT NULL,
            store_id   text        NOT NULL,
            profile_id text        NOT NULL,
            status     int,
            problem    text,
            took_ms    int         NOT NULL,
            CONSTRAINT deliveries_pkey PRIMARY KEY (webhook_id, number),
            CONSTRAINT deliveries_webhook_fkey FOREIGN KEY (webhook_id) REFERENCES webhooks.endpoints ON DELETE CASCADE
        )
    """)
