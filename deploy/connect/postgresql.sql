-- What a sink by itself would make texts of. Every other column it adds, and those of later versions.
CREATE TABLE closings_topic (
    ce_id         uuid PRIMARY KEY,
    kind          text NOT NULL,
    closing_id    uuid NOT NULL,
    session_id    uuid NOT NULL,
    business_date date,
    opened_at     timestamptz,
    closed_at     timestamptz,
    approved_at   timestamptz,
    correction_id uuid,
    occurred_at   timestamptz,
    received_at   timestamptz
);
CREATE TABLE closing_documents (
    ce_id    uuid PRIMARY KEY,
    document jsonb NOT NULL
);
