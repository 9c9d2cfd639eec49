"""Settings of tills have versions, which commands set; journals of sessions opened since are linked with them."""

import hashlib

import orjson
from alembic import op
from sqlalchemy import text

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

PROFILES = (
    "ALTER TABLE profiles ADD COLUMN version bigint NOT NULL DEFAULT 1",
    "ALTER TABLE profiles ADD COLUMN hash bytea",
    "ALTER TABLE tills ADD COLUMN profile_version bigint NOT NULL DEFAULT 1",
    # `settings` are the canonical JSON that `hash` is the SHA-256 of. What was imported before commands set profiles
    # is version 1, and nobody is named for it.
    """
    CREATE TABLE profile_versions (
        store_id text NOT NULL,
        profile_id text NOT NULL,
        version bigint NOT NULL,
        settings bytea NOT NULL,
        hash bytea NOT NULL,
        set_at timestamptz NOT NULL,
        command_id uuid,
        actor_id text,
        actor_name text,
        CONSTRAINT profile_versions_pkey PRIMARY KEY (store_id, profile_id, version),
        CONSTRAINT profile_versions_of_a_profile FOREIGN KEY (store_id, profile_id) REFERENCES profiles,
        CONSTRAINT profile_versions_one_per_command UNIQUE (store_id, command_id),
        CONSTRAINT profile_versions_from_one CHECK (version >= 1),
        CONSTRAINT profile_versions_hash_is_sha256 CHECK (octet_length(hash) = 32),
        CONSTRAINT profile_versions_by_a_command CHECK (version = 1 OR command_id IS NOT NULL),
        CONSTRAINT profile_versions_by_an_actor CHECK ((command_id IS NULL) = (actor_id IS NULL))
    )
    """,
    """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON profile_versions
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
)
FIRST_VERSIONS = """
    SELECT store_id, profile_id, updated_at,
           to_jsonb(p) - '{store_id,profile_id,created_at,updated_at,version,hash}'::text[] AS settings
      FROM profiles p
"""
FIRST_VERSION = text("""
    WITH hashed AS (
        UPDATE profiles SET hash = :hash WHERE store_id = :store_id AND profile_id = :profile_id
    )
    INSERT INTO profile_versions (store_id, profile_id, version, settings, hash, set_at)
    VALUES (:store_id, :profile_id, 1, :settings, :hash, :set_at)
""")
JOURNAL = (
    "ALTER TABLE profiles ALTER COLUMN hash SET NOT NULL",
    "ALTER TABLE profiles ADD CONSTRAINT profiles_hash_is_sha256 CHECK (octet_length(hash) = 32)",
    "ALTER TABLE profiles ADD CONSTRAINT profiles_version_from_one CHECK (version >= 1)",
    "ALTER TABLE tills ADD CONSTRAINT tills_profile_version_from_one CHECK (profile_version >= 1)",
    # 1: linked by sequence and command, as the version before did. 2: by the version of the profile, too.
    "ALTER TABLE sessions ADD COLUMN journal_form smallint NOT NULL DEFAULT 1",
    "ALTER TABLE sessions ALTER COLUMN journal_form DROP DEFAULT",
    "ALTER TABLE sessions ADD CONSTRAINT sessions_journal_form_known CHECK (journal_form IN (1, 2))",
    # NULL in what the version before applied, and in what is no session's.
    "ALTER TABLE journal ADD COLUMN profile_version bigint",
    "ALTER TABLE journal DROP CONSTRAINT journal_refused_or_in_sequence",
    # Settings belong to no session and have no place in its sequence. Old rows were held to the stricter rule.
    """
    ALTER TABLE journal ADD CONSTRAINT journal_refused_or_in_sequence CHECK (
        CASE WHEN reason IS NULL AND kind = 'profile_set'
             THEN command IS NOT NULL AND session_id IS NULL AND sequence IS NULL AND link IS NULL
                  AND profile_version IS NULL
             WHEN reason IS NULL
             THEN sequence IS NOT NULL AND sequence >= 1 AND session_id IS NOT NULL
                  AND command IS NOT NULL AND link IS NOT NULL AND octet_length(link) = 32
             ELSE sequence IS NULL AND command IS NULL AND link IS NULL AND profile_version IS NULL
        END
    ) NOT VALID
    """,
)


def upgrade() -> None:
    """Workers of the version before must be stopped: they know no versions, and would write no form.

    The tables are altered, checked whole, and locked until all migrations of the update are committed together.
    Meanwhile the gateway's reads of tills, sessions and the journal wait, and fail with 503 after some seconds.
    """
    for statement in PROFILES:
        op.execute(statement)
    tx = op.get_bind()
    for row in list(tx.execute(text(FIRST_VERSIONS))):
        settings = row.settings | {"tenders": row.settings["tenders"] or None}
        written = orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)
        values = {"settings": written, "hash": hashlib.sha256(written).digest(), "set_at": row.updated_at}
        tx.execute(FIRST_VERSION, {"store_id": row.store_id, "profile_id": row.profile_id} | values)
    # Checks of foreign keys must be done before the table can be altered.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for statement in JOURNAL:
        op.execute(statement)


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
