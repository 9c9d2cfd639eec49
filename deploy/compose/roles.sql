-- Run once, when the database is new, by the superuser, whose password nobody knows: it comes in from inside its
-- container alone.
-- What each role may do with the tables is set by `till migrate`.
\set owner `cat /run/secrets/owner`
\set ledger `cat /run/secrets/ledger`
\set gateway `cat /run/secrets/gateway`
\set reporting `cat /run/secrets/reporting`
\set webhooks `cat /run/secrets/webhooks`
\set analyst `cat /run/secrets/analyst`
CREATE ROLE till_owner LOGIN PASSWORD :'owner';
CREATE ROLE till_ledger LOGIN PASSWORD :'ledger';
CREATE ROLE till_gateway LOGIN PASSWORD :'gateway';
CREATE ROLE till_reporting LOGIN PASSWORD :'reporting';
CREATE ROLE till_webhooks LOGIN PASSWORD :'webhooks';
CREATE ROLE till_analyst LOGIN CONNECTION LIMIT 10 PASSWORD :'analyst';
ALTER ROLE till_analyst SET statement_timeout = '60s';
ALTER DATABASE till OWNER TO till_owner;
REVOKE ALL ON DATABASE till FROM PUBLIC;
GRANT CONNECT ON DATABASE till TO till_ledger, till_gateway, till_reporting, till_webhooks, till_analyst;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
