"""Makes the passwords of a deployment by docker-compose.yml, once, and puts each where only its users see it.

Every folder is a volume of its own, mounted by one service: a volume is the wall, so its files are readable. What is
there already stays; `docker compose down --volumes` deletes the passwords together with the data that they guard.
"""

import os
import secrets
from pathlib import Path

HERE = Path("/secrets")
TILL = 10_001
"""The user of the image."""

DATABASE_ROLES = ("owner", "ledger", "gateway", "reporting", "webhooks", "analyst")
PRINCIPALS = ("admin", "sessions", "gateway", "reporting", "register", "closings")


def main() -> None:
    """Make what is missing."""
    database = {role: password(f"postgres/{role}") for role in DATABASE_ROLES}
    kafka = {principal: password(f"tools/kafka/{principal}") for principal in PRINCIPALS}
    redis = password("redis/password")
    password("tools/admin")
    keep("tools/database", database["owner"])
    for service, role in (("sessions", "ledger"), ("gateway", "gateway"), ("reporting", "reporting")):
        keep(f"{service}/database", database[role])
        keep(f"{service}/kafka", kafka[service])
    # It asks no broker.
    keep("webhooks/database", database["webhooks"])
    for user in ("sessions", "tools"):
        keep(f"{user}/redis", redis)
    # Nothing in it must last: the lock only keeps workers from waiting for each other.
    lines = (f"requirepass {redis}", "bind * -::*", 'save ""', "appendonly no", "maxmemory 64mb", "dir /data")
    keep("redis/redis.conf", "\n".join(lines))
    for folder in ("token-key", "jwks"):
        os.chown(HERE / folder, TILL, TILL)


def password(name: str) -> str:
    """The password of this name, from now on and at every later run."""
    return keep(name, secrets.token_urlsafe(24))


def keep(name: str, words: str) -> str:
    """What the file holds; `words` where it is new. It is there whole or not at all."""
    file = HERE / name
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        draft = file.with_name(f".{file.name}")
        draft.write_text(words + "\n", encoding="utf-8")
        draft.chmod(0o444)
        draft.rename(file)
    return file.read_text(encoding="utf-8").strip()


if __name__ == "__main__":
    main()
