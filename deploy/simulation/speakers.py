"""Who speaks for a simulated chain: tokens from files, or signed here where this machine has the signing key."""

import base64
import json
import time
from pathlib import Path
from typing import Any, Final

from deploy.demo.register import Line
from services.platform.auth import tokens
from services.platform.auth.claims import Role
from services.platform.settings import Settings

LIVES_S: Final = 3_600
NEW_BEFORE_S: Final = 300
"""A token that lives no longer than this is replaced."""


class CannotSimulate(Exception):
    """Why a run can't begin or go on, as a sentence that says what to do."""


class Speakers:
    """Gives each line its token: the registers' is one of a register, the manager's bears the manager's own name."""

    def __init__(
        self, settings: Settings, register_file: Path | None, manager_file: Path | None, audience: tokens.Audience
    ) -> None:
        """`audience` is whom the commands are for; what is read and set up goes by HTTP. Raises CannotSimulate."""
        self._settings, self._audience = settings, audience
        self._files = {"register": register_file, "manager": manager_file}
        self._minted: dict[tuple[str, str, str, str], tuple[float, str]] = {}
        if (register_file is None) != (manager_file is None):
            raise CannotSimulate("Name both token files or none: one of a register, and one of a manager.")
        if register_file is None and not settings.token_key.exists():
            raise CannotSimulate(
                f"There is no signing key {settings.token_key} here to make tokens with: name --token-file and "
                "--manager-token-file, each with what `till token` prints where the key is."
            )

    def token(self, line: Line) -> str:
        """The token that this line is sent with."""
        store_id = line.key.partition("/")[0]
        if line.manager is not None:
            return self._token("manager", line.manager, store_id, self._audience)
        return self._token("register", f"register-{store_id}", store_id, self._audience)

    def manager_name(self) -> str | None:
        """The only name that the manager's token may speak by; None where tokens are signed here.

        Raises CannotSimulate where the file holds none.
        """
        file = self._files["manager"]
        if file is None:
            return None
        try:
            payload = file.read_text(encoding="utf-8").strip().split(".")[1]
            claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            return str(claims["sub"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise CannotSimulate(f"{file} holds no token as `till token` prints it.") from error

    def reader(self, store_id: str) -> dict[str, str]:
        """The header by which a store's closings are read and its tills are set up."""
        return {"authorization": f"Bearer {self._token('manager', 'simulation', store_id, tokens.API_AUDIENCE)}"}

    def _token(self, role: Role, sub: str, store_id: str, audience: tokens.Audience) -> str:
        file, now = self._files[role], time.time()
        if file is not None:
            # Read anew each time: whoever renews it writes the file again.
            return file.read_text(encoding="utf-8").strip()
        ends_at, token = self._minted.get((role, sub, store_id, audience), (0.0, ""))
        if ends_at - now < NEW_BEFORE_S:
            ends_at = now + LIVES_S
            try:
                token = tokens.mint(
                    self._settings, sub=sub, role=role, stores=[store_id], ttl_s=LIVES_S, audiences=[audience]
                )
            except (OSError, ValueError) as error:
                raise CannotSimulate(f"No token can be signed here: {error}") from error
            self._minted[role, sub, store_id, audience] = ends_at, token
        return token
