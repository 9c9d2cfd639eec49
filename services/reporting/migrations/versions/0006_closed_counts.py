"""How many closings there are in each hour and minute, so that a page far behind is found without a walk to it."""

from alembic import op

revision = "0006"
down_revision = "0005"

_COUNT = """
    INSERT INTO reporting.closed_counts AS k (store_id, seconds, begins_at, "partition", closings)
    SELECT b.store_id, b.seconds, b.begins_at, c."partition", {sign} * count(*)
      FROM {closings}
     CROSS JOIN LATERAL (VALUES (c.store_id, 3600, date_trunc('hour', c.closed_at, 'UTC')),
                                ('', 3600, date_trunc('hour', c.closed_at, 'UTC')),
                                ('', 60, date_trunc('minute', c.closed_at, 'UTC')))
           AS b(store_id, seconds, begins_at)
     {where}
     GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
        ON CONFLICT ON CONSTRAINT closed_counts_pkey DO UPDATE SET closings = k.closings + excluded.closings
"""
_NOT_VOIDED = """
    WHERE NOT EXISTS (SELECT FROM reporting.corrections AS v
                       WHERE v.store_id = c.store_id AND v.closing_id = c.closing_id
                         AND v.correction = 'session_voided')
"""
# Of what was voided just now, and not already before.
_VOIDED = """
    (SELECT DISTINCT v.store_id, v.closing_id, n.closed_at, v."partition"
       FROM added AS v JOIN reporting.closings AS n USING (store_id, closing_id)
      WHERE v.correction = 'session_voided'
        AND NOT EXISTS (SELECT FROM reporting.corrections AS o
                         WHERE o.store_id = v.store_id AND o.closing_id = v.closing_id
                           AND o.correction = 'session_voided'
                           AND NOT EXISTS (SELECT FROM added AS a WHERE a.store_id = o.store_id
                                                                    AND a.correction_id = o.correction_id))) AS c
"""


_COUNT_ALL = _COUNT.format(sign=1, closings="reporting.closings AS c", where=_NOT_VOIDED)
# Of what is no longer voided, now that these are gone.
_COUNTED_AGAIN = """
    (SELECT DISTINCT v.store_id, v.closing_id, n.closed_at, v."partition"
       FROM added AS v JOIN reporting.closings AS n USING (store_id, closing_id)
      WHERE v.correction = 'session_voided') AS c
"""


def upgrade() -> None:
    """Adds the counts, kept by triggers: whoever writes, a reader of the version before too.

    Reads go on meanwhile; the reader takes nothing until all closings are counted, and is not ready after 8 s of that.
    """
    # A partition's rows are written by its reader alone: no two wait for each other. `store_id` '' is all stores. The
    # voids that come by another partition than their closing take away there: a row alone may be below zero.
    op.execute("""
        CREATE TABLE reporting.closed_counts (
            store_id    text        NOT NULL,
            seconds     int         NOT NULL,
            begins_at   timestamptz NOT NULL,
            "partition" int         NOT NULL,
            closings    bigint      NOT NULL,
            CONSTRAINT closed_counts_pkey PRIMARY KEY (store_id, seconds, begins_at, "partition"),
            CONSTRAINT closed_counts_of_an_hour_or_a_minute CHECK (seconds IN (3600, 60))
        )
    """)
    # A batch begins with its offsets; what fills in the rows of before, with corrections: so nobody waits in a circle.
    op.execute("LOCK TABLE reporting.consumed IN EXCLUSIVE MODE")
    op.execute("LOCK TABLE reporting.corrections, reporting.closings IN SHARE ROW EXCLUSIVE MODE")
    op.execute(_COUNT_ALL)
    _on("closings", "insert", "new", _COUNT.format(sign=1, closings="added AS c", where=_NOT_VOIDED) + ";")
    _on("closings", "delete", "old", _COUNT.format(sign=-1, closings="added AS c", where=_NOT_VOIDED) + ";")
    # A void that comes before its closing, which may be on its way in another transaction, waits for that one: else
    # neither would see the other. All rows are locked in one order, for their reader locks them again.
    _on(
        "corrections",
        "insert",
        "new",
        f"""
        IF EXISTS (SELECT FROM added WHERE correction = 'session_voided') THEN
            IF EXISTS (SELECT FROM added AS v WHERE v.correction = 'session_voided'
                          AND NOT EXISTS (SELECT FROM reporting.closings AS c
                                           WHERE c.store_id = v.store_id AND c.closing_id = v.closing_id)) THEN
                LOCK TABLE reporting.closings IN SHARE ROW EXCLUSIVE MODE;
            END IF;
            PERFORM 1 FROM reporting.closings AS c
              WHERE (c.store_id, c.closing_id) IN (SELECT store_id, closing_id FROM added)
              ORDER BY c.store_id, c.closing_id FOR UPDATE;
            {_COUNT.format(sign=-1, closings=_VOIDED, where="")};
        END IF;
        """,  # noqa: S608 - of constants
    )
    _on("corrections", "delete", "old", _COUNT.format(sign=1, closings=_COUNTED_AGAIN, where=_NOT_VOIDED) + ";")
    _function("count_anew", "DELETE FROM reporting.closed_counts; " + _COUNT_ALL + ";")  # noqa: S608 - constants
    for table in ("closings", "corrections"):
        op.execute(f"""
            CREATE TRIGGER counted_truncate AFTER TRUNCATE ON reporting.{table}
               FOR EACH STATEMENT EXECUTE FUNCTION reporting.count_anew()
        """)


def _on(table: str, event: str, transition: str, body: str) -> None:
    _function(f"count_{table}_{event}", body)
    op.execute(f"""
        CREATE TRIGGER counted_{event} AFTER {event.upper()} ON reporting.{table}
           REFERENCING {transition.upper()} TABLE AS added
           FOR EACH STATEMENT EXECUTE FUNCTION reporting.count_{table}_{event}()
    """)


def _function(name: str, body: str) -> None:
    # As its owner: a role that may write closings needs no right of its own to have them counted.
    op.execute(f"""
        CREATE FUNCTION reporting.{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
           SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            {body}
            RETURN NULL;
        END $$
    """)
