"""What is asked of the ledger beside the way of a command: by the tools, and by the sweeper of idle sessions."""

from typing import Final

from sqlalchemy import text

# What `till verify` and `till rebuild` read, in one snapshot, a page at a time.

COUNT_SESSIONS: Final = text("""
    SELECT count(*) FROM sessions
     WHERE (CAST(:store AS text) IS NULL OR store_id = :store)
       AND (CAST(:profile AS text) IS NULL OR profile_id = :profile)
""")
PAGE_OF_TILLS: Final = text("""
    SELECT * FROM tills
     WHERE (store_id, profile_id) > (:after_store, :after_profile)
       AND (CAST(:store AS text) IS NULL OR store_id = :store)
       AND (CAST(:profile AS text) IS NULL OR profile_id = :profile)
     ORDER BY store_id, profile_id LIMIT :rows
""")
SESSIONS_OF_TILL: Final = text("""
    SELECT * FROM sessions WHERE store_id = :store AND profile_id = :profile AND ordinal < :before
     ORDER BY ordinal DESC LIMIT :rows
""")
CLOSINGS_OF_TILL: Final = text("""
    SELECT * FROM closings WHERE store_id = :store AND profile_id = :profile AND z_number > :after
     ORDER BY z_number LIMIT :rows
""")
HOLDERS_OF_TILL: Final = text("""
    SELECT session_id FROM sessions WHERE store_id = :store AND profile_id = :profile AND state IN ('open', 'suspended')
""")
JOURNAL_OF_SESSION: Final = text("""
    SELECT sequence, kind, command_id, received_at, register_seq, link, command, counts, profile_version,
           CASE WHEN kind = 'session_opened' THEN answer END AS opened,
           CASE WHEN position(convert_to('"tenders_added":', 'UTF8') IN answer) > 0 THEN answer END AS added
      FROM journal
     WHERE store_id = :store AND session_id = :session AND sequence > :after
     ORDER BY sequence LIMIT :rows
""")
VERSIONS_OF_PROFILE: Final = text("""
    SELECT v.version, v.settings, v.hash, v.command_id, j.command
      FROM profile_versions v LEFT JOIN journal j USING (store_id, command_id)
     WHERE v.store_id = :store AND v.profile_id = :profile AND v.version > :after
     ORDER BY v.version LIMIT :rows
""")
VERSION_IN_FORCE: Final = text("SELECT version, hash FROM profiles WHERE store_id = :store AND profile_id = :profile")
CORRECTIONS_OF_SESSION: Final = text("""
    SELECT * FROM corrections WHERE store_id = :store AND session_id = :session ORDER BY correction_number
""")
CLOSING_OF_SESSION: Final = text("SELECT * FROM closings WHERE store_id = :store AND session_id = :session")

# Whose settings are others than a file says, and what their commands were answered: by their ids, or without a claim.

PROFILE_HASHES: Final = text("""
    SELECT p.store_id, p.profile_id, p.hash
      FROM unnest(CAST(:stores AS text[]), CAST(:profiles AS text[])) AS k(store_id, profile_id)
      JOIN profiles p USING (store_id, profile_id)
""")
ANSWERS_OF: Final = text("""
    SELECT answered.answer FROM unnest(CAST(:stores AS text[]), CAST(:command_ids AS uuid[])) AS k(store_id, command_id)
     CROSS JOIN LATERAL (
        SELECT 1 AS turn, answer FROM journal j WHERE j.store_id = k.store_id AND j.command_id = k.command_id
         UNION ALL
        SELECT 2, answer FROM place_answers p WHERE p.store_id = k.store_id AND p.command_id = k.command_id
         ORDER BY turn LIMIT 1) AS answered
""")

# What was published, and the heads of the chains.

COUNT_CLOSINGS: Final = text("""
    SELECT count(*) FROM closings
     WHERE (CAST(:store AS text) IS NULL OR store_id = :store)
       AND (CAST(:profile AS text) IS NULL OR profile_id = :profile)
""")
PAGE_OF_CLOSINGS: Final = text("""
    SELECT store_id, profile_id, z_number, session_id, received_at, body FROM closings
     WHERE (CAST(:store AS text) IS NULL OR store_id = :store)
       AND (CAST(:profile AS text) IS NULL OR profile_id = :profile)
       AND (store_id, profile_id, z_number) > (:after_store, :after_profile, :after_z)
     ORDER BY store_id, profile_id, z_number LIMIT :rows
""")
CORRECTIONS_OF_CLOSINGS: Final = text("""
    SELECT c.store_id, c.session_id, c.command_id, c.received_at, c.body
      FROM unnest(CAST(:stores AS text[]), CAST(:sessions AS uuid[])) AS k(store_id, session_id)
      JOIN corrections c USING (store_id, session_id) ORDER BY c.correction_number
""")
HEADS: Final = text("""
    SELECT store_id, profile_id, z_number, last_hash FROM tills
     WHERE z_number > 0 AND (CAST(:store AS text) IS NULL OR store_id = :store)
       AND (CAST(:profile AS text) IS NULL OR profile_id = :profile)
     ORDER BY store_id, profile_id
""")
HASH_OF_CLOSING: Final = text("""
    SELECT hash FROM closings WHERE store_id = :store AND profile_id = :profile AND z_number = :z_number
""")

# One session's report; these two go to the driver itself.

# Every table's index begins with the store, so a session without one is looked for in each of them.
STORES_OF_SESSION: Final = """
    SELECT s.store_id FROM (SELECT DISTINCT store_id FROM profiles) AS k(store_id)
      JOIN sessions s ON s.store_id = k.store_id AND s.session_id = $1::uuid ORDER BY s.store_id
"""
CLOSING_WITH_CORRECTIONS: Final = """
    SELECT c.body, (SELECT count(*) FROM corrections k WHERE k.store_id = c.store_id AND k.session_id = c.session_id)
           AS corrections
      FROM closings c WHERE c.store_id = $1 AND c.session_id = $2::uuid
"""

# What the sweeper of idle sessions looks at.

NOW: Final = text("SELECT clock_timestamp()")
FRONTIER: Final = text("SELECT partition, next_offset FROM consumed WHERE topic_id = :topic_id")
# Only open sessions hold a till without being looked after: a suspended one was put aside on purpose.
IDLE_SESSIONS: Final = text("""
    SELECT s.store_id, s.profile_id, s.session_id, s.sequence,
           s.moved_at + make_interval(secs => p.idle_close_after_s) AS idle_at
      FROM sessions s JOIN profiles p USING (store_id, profile_id)
     WHERE s.state = 'open' AND p.idle_close_after_s IS NOT NULL
       AND s.moved_at + make_interval(secs => p.idle_close_after_s) <= :until
     ORDER BY idle_at, s.store_id, s.session_id LIMIT :rows
""")
