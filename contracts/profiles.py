"""The settings of a till as one object, whoever set them and however they were written, and its hash."""

import hashlib
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from contracts.jsontext import SAFE_INTEGER, canonical
from contracts.limits import Text
from contracts.money import is_one
from contracts.record_classes import plain, record_class, record_of
from contracts.values import Currency, Id, Tenders, Wire
from contracts.zones import ZONE_BYTES_MAX, ZONES

SECONDS_MAX: Final = 10 * 365 * 86_400
"""The longest time that a setting of a profile may name, in seconds."""

LATE_WINDOW_S: Final = 7 * 86_400
DAY_STARTS_AT: Final = "00:00"
OWN_PROVIDER: Final = "STORE"


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("the text is not printable")
    return text


def _zone(name: str) -> str:
    if name not in ZONES:
        raise ValueError("no zone of the tz database has this name; Europe/Lisbon is one")
    return name


ZoneName = Annotated[str, StringConstraints(max_length=ZONE_BYTES_MAX), AfterValidator(_zone)]
TimeOfDay = Annotated[str, StringConstraints(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Printable = Annotated[str, Text(1, 64), AfterValidator(_printable)]
PrintableName = Annotated[str, Text(1, 128), AfterValidator(_printable)]
_EMPTY_IS_ABSENT = BeforeValidator(lambda value: None if value == "" else value)


class ProfileSettings(Wire):
    """All settings of a till; what is absent or null is the default, and an empty text where a text may be absent."""

    name: PrintableName
    currency: Currency
    tenders: Tenders | None = None
    over_short_limit_minor: Annotated[int, Field(ge=0, le=SAFE_INTEGER)] | None = None
    blind: bool | None = None
    idle_close_after_s: Annotated[int, Field(ge=1, le=SECONDS_MAX)] | None = None
    late_window_s: Annotated[int, Field(ge=0, le=SECONDS_MAX)] | None = None
    allow_negative_drawer: bool | None = None
    business_day_starts_at: Annotated[TimeOfDay | None, _EMPTY_IS_ABSENT] = None
    own_provider: Annotated[Printable | None, _EMPTY_IS_ABSENT] = None
    enabled: bool | None = None
    store_name: Annotated[PrintableName | None, _EMPTY_IS_ABSENT] = None
    company_id: Annotated[Id | None, _EMPTY_IS_ABSENT] = None
    time_zone: Annotated[ZoneName | None, _EMPTY_IS_ABSENT] = None

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        for tender in self.tenders or ():
            if tender.currency == self.currency and not is_one(tender.exchange_rate):
                raise ValueError(f"tender {tender.id} is in the profile's own currency: its exchange_rate is 1")
        if self.blind and self.allow_negative_drawer is False:
            raise ValueError("a blind profile must allow a negative drawer: the refusal would tell the expected figure")
        return self


record_class(ProfileSettings)


def settings_object(store_id: str, profile: ProfileSettings) -> dict[str, Any]:
    """All settings of a profile of this store, defaults filled in; what has no default and is not set is None.

    The profile may be a model or its record.
    """
    written: dict[str, Any] = plain(record_of(profile))
    defaults = {
        "blind": False,
        "late_window_s": LATE_WINDOW_S,
        "allow_negative_drawer": True,
        "business_day_starts_at": DAY_STARTS_AT,
        "own_provider": OWN_PROVIDER,
        "enabled": True,
        "store_name": store_id,
    }
    return written | {name: default for name, default in defaults.items() if written[name] is None}


def profile_hash(settings: dict[str, Any]) -> str:
    """SHA-256, as lower-case hex, of the canonical JSON of a `settings_object`: equal settings have equal hashes."""
    return hashlib.sha256(canonical(settings)).hexdigest()
