"""The one Alembic environment that every service's migrations run in; see services.platform.postgres.migrate."""
