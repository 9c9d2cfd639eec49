-- Runs once, when the database is new: one role for each kind of pod. What each may do is granted with the tables.
\set owner `cat /run/secrets/till/owner`
\set sessions `cat /run/secrets/till/sessions`
\set gateway `cat /run/secrets/till/gateway`
\set reporting `cat /run/secrets/till/reporting`
\set webhooks `cat /run/secrets/till/webhooks`
\set analyst `cat /run/secrets/till/analyst`
CREATE ROLE till_owner LOGIN PASSWORD :'owner';
CREATE ROLE till_sessions LOGIN PASSWORD :'sessions';
CREATE ROLE till_gateway LOGIN PASSWORD :'gateway';
CREATE ROLE till_reporting LOGIN PASSWORD :'reporting';
CREATE ROLE till_webhooks LOGIN PASSWORD :'webhooks';
CREATE ROLE till_analyst LOGIN CONNECTION LIMIT 10 PASSWORD :'analyst';
ALTER ROLE till_analyst SET statement_timeout = '60s';
ALTER DATABASE till OWNER TO till_owner;
ALTER SCHEMA public OWNER TO till_owner;
