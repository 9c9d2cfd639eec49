"""Who may come into a store, over HTTP: its users and its API keys, for its admins, as the command line keeps them.

A revocation is on the access topic before anything is replied. Nothing here replies or logs a password, and the secret
of a key is replied once.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final

import structlog
from aiokafka.errors import KafkaError
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contracts.access import SUBJECT_BYTES_MAX, AccessRecord, Restored, Subject
from contracts.times import wire_time
from contracts.values import ID_PATTERN, ID_TEXT
from services.gateway.access import api_keys, users
from services.gateway.access.api_keys import ID_BYTES, OVERLAP_S, OVERLAP_S_MAX, ApiKey, KeyRole
from services.gateway.access.bounded_queue import RETRY_AFTER_S, QueueFull
from services.gateway.access.callers import CHANGES_OF_STORE_A_DAY_MAX, Access, ByToken, Caller, access_of
from services.gateway.access.passwords import PASSWORD_BYTES_MAX
from services.gateway.access.users import User
from services.gateway.idempotency import header
from services.gateway.own_api import people_documentation, views
from services.gateway.own_api.documentation import KeyId, StoreId, UserId
from services.gateway.secret_body import read_secret_body
from services.platform import access_log
from services.platform.access_log import AccessUnread, AccessUnwritten
from services.platform.auth.claims import EVERY_STORE, RESERVED_PREFIXES, VIA_KEY, Role
from services.platform.http.problems import Problem
from services.platform.http.replies import json_reply

USERS_OF_STORE_MAX: Final = 1_000
"""Users of one store that are made over HTTP, revoked ones too: every process knows each revocation for good."""
KEYS_OF_STORE_MAX: Final = 200
"""API keys of one store, in the same way."""
REVOKED_EVERYWHERE: Final = (
    "They are revoked in all stores: only who runs Tillstream, or an admin of every store, lets them in again."
)

log = structlog.get_logger(__name__)
router = APIRouter()

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]


class NewUser(BaseModel):
    """Somebody who may sign in, or what is to be said of them anew."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user: Subject
    role: Role
    profile_id: Id | None = None
    password: Annotated[str, StringConstraints(min_length=1)]


class NewKey(BaseModel):
    """A key of a company for the store."""

    model_config = ConfigDict(extra="forbid", strict=True)

    company_id: Id
    role: KeyRole = "manager"


class Rotation(BaseModel):
    """A new secret for a key. `previous_until` is the key's as it was seen: sent twice, it is one rotation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    previous_until: str | None
    overlap_s: Annotated[int, Field(ge=0, le=OVERLAP_S_MAX)] = OVERLAP_S


@router.get("/api/stores/{store_id}/users", **people_documentation.LIST_USERS)
async def list_users(request: Request, who: ByToken, store_id: StoreId) -> Response:
    """The users of a store, revoked ones too."""
    limit, after = views.read_limit(request), views.read_cursor(request, str)
    _check_admin(who, store_id)
    async with access_of(request).engine.connect() as tx:
        users_page = await users.page(tx, store_id, after[0] if after else "", limit + 1)
    last = [users_page[limit - 1][0].user_id] if len(users_page) > limit else None
    return json_reply(views.page([_user_view(user, revoked=revoked) for user, revoked in users_page[:limit]], last))


@router.post("/api/stores/{store_id}/users", **people_documentation.POST_USER)
async def post_user(request: Request, who: ByToken, store_id: StoreId) -> Response:
    """Add a user, or replace one; whoever was revoked in the store may come in again."""
    _check_admin(who, store_id)
    access, new = access_of(request), await read_secret_body(request, NewUser)
    if new.user.startswith(RESERVED_PREFIXES):
        raise _wrong("user", "A user's id begins neither with key: nor with till-.")
    if who.claims.company is not None:
        # A user belongs to the store: signed in, they would have no company to keep to.
        raise Problem(HTTPStatus.FORBIDDEN, "This token is of one company: it makes no users.", reason="forbidden")
    stores = {store_id} | ({EVERY_STORE} & who.claims.stores)
    user = User(store_id, new.user, new.role, new.profile_id)
    async with _turn(access, store_id):
        _check_day(access, store_id)
        await _revoked_in(access, user, stores)
        try:
            stored = await access.passwords.hashed(new.password)
        except ValueError:
            raise _wrong("password", f"A password has 1 to {PASSWORD_BYTES_MAX} bytes.") from None
        async with access.engine.begin() as tx:
            if not await users.has_room(tx, user, USERS_OF_STORE_MAX):
                raise _no_room(f"A store has at most {USERS_OF_STORE_MAX} users, revoked ones too.")
            await users.add(tx, user, stored)
            # The row is held now: whoever revokes them by another gateway did so before, or does it after this.
            revoked = await _revoked_in(access, user, stores)
            if revoked:
                restored = [Restored(store_id=one, subject=user.user_id) for one in revoked]
                await access_log.publish(access.settings, restored)
        access.changes_of_day.take(store_id)
    log.info("user_set", store_id=store_id, user=user.user_id, role=user.role, by=who.claims.sub)
    return json_reply(_user_view(user, revoked=False))


@router.delete("/api/stores/{store_id}/users/{user_id:path}", **people_documentation.DELETE_USER)
async def delete_user(request: Request, who: ByToken, store_id: StoreId, user_id: UserId) -> Response:
    """Revoke a user: their password and every token of theirs for the store. What they did stays."""
    _check_admin(who, store_id)
    access = access_of(request)
    async with _turn(access, store_id), access.engine.begin() as tx:
        user = await users.find(tx, store_id, user_id, hold=True) if _can_be_one(user_id) else None
        if user is None:
            raise Problem(HTTPStatus.NOT_FOUND, "There is no such user in this store.")
        # Done again, it says nothing new: the topic is kept for good.
        known = store_id in await access.revoked_in(user_id)
        await users.revoke(tx, store_id, user_id, _nothing if known else partial(access_log.publish, access.settings))
    log.info("user_revoked", store_id=store_id, user=user_id, by=who.claims.sub)
    return json_reply(_user_view(user, revoked=True))


@router.get("/api/stores/{store_id}/keys", **people_documentation.LIST_KEYS)
async def list_keys(request: Request, who: ByToken, store_id: StoreId) -> Response:
    """The API keys of a store, revoked ones too; never what they are."""
    _check_admin(who, store_id)
    async with access_of(request).engine.connect() as tx:
        keys = await api_keys.listed(tx, store_id)
    return json_reply(views.page([_key_view(key) for key in keys if _is_theirs(key, who)], None))


@router.post("/api/stores/{store_id}/keys", **people_documentation.POST_KEY)
async def post_key(request: Request, who: ByToken, store_id: StoreId) -> Response:
    """Make an API key; it is replied this once."""
    _check_admin(who, store_id)
    access, new, key_id = access_of(request), await read_secret_body(request, NewKey), _id_of_made(request, store_id)
    if who.claims.company not in {None, new.company_id}:
        raise Problem(HTTPStatus.FORBIDDEN, "This token is of another company.", reason="forbidden")
    async with _turn(access, store_id), access.engine.begin() as tx:
        # Whoever makes a key for the store waits from here on: of two requests at once the second sees the first's key.
        has_room = await api_keys.has_room(tx, store_id, KEYS_OF_STORE_MAX)
        existing = next((key for key in await api_keys.listed(tx, store_id) if key.key_id == key_id), None)
        if existing is not None:
            if (existing.company_id, existing.role) != (new.company_id, new.role):
                raise Problem(
                    HTTPStatus.UNPROCESSABLE_ENTITY, "This Idempotency-Key was used for another request.", errors=[]
                )
            return json_reply(_key_view(existing) | {"secret": None})
        if not has_room:
            raise _no_room(f"A store has at most {KEYS_OF_STORE_MAX} API keys, revoked ones too.")
        _check_day(access, store_id)
        key, secret = await api_keys.add(tx, new.company_id, store_id, new.role, key_id)
    access.changes_of_day.take(store_id)
    log.info("key_made", store_id=store_id, key=key.key_id, role=key.role, by=who.claims.sub)
    return json_reply(_key_view(key) | {"secret": secret}, HTTPStatus.CREATED)


@router.post("/api/stores/{store_id}/keys/{key_id}/rotate", **people_documentation.ROTATE_KEY)
async def rotate_key(request: Request, who: ByToken, store_id: StoreId, key_id: KeyId) -> Response:
    """Give a key a new secret, which is replied this once; the one of before counts a while longer."""
    _check_admin(who, store_id)
    access, rotation = access_of(request), await read_secret_body(request, Rotation)
    async with _turn(access, store_id), access.engine.begin() as tx:
        key = await api_keys.hold(tx, store_id, key_id) if ID_TEXT.fullmatch(key_id) else None
        if key is None or not _is_theirs(key, who):
            raise _no_key()
        if _until(key) != rotation.previous_until:
            raise Problem(HTTPStatus.CONFLICT, "The key was rotated meanwhile: look at its previous_until, and decide.")
        _check_day(access, store_id)
        secret = await api_keys.rotate(tx, store_id, key_id, rotation.overlap_s)
        key = await api_keys.hold(tx, store_id, key_id) or key
    access.changes_of_day.take(store_id)
    log.info("key_rotated", store_id=store_id, key=key_id, overlap_s=rotation.overlap_s, by=who.claims.sub)
    return json_reply(_key_view(key) | {"secret": secret})


@router.delete("/api/stores/{store_id}/keys/{key_id}", **people_documentation.DELETE_KEY)
async def delete_key(request: Request, who: ByToken, store_id: StoreId, key_id: KeyId) -> Response:
    """Revoke an API key, and the tokens that were signed for it."""
    _check_admin(who, store_id)
    access = access_of(request)
    async with _turn(access, store_id), access.engine.begin() as tx:
        theirs = {key.key_id for key in await api_keys.listed(tx, store_id) if _is_theirs(key, who)}
        if key_id not in theirs or not await api_keys.revoke(
            tx, store_id, key_id, partial(access_log.publish, access.settings)
        ):
            raise _no_key()
    log.info("key_revoked", store_id=store_id, key=key_id, by=who.claims.sub)
    return json_reply({"key": key_id, "revoked": True})


def _check_admin(who: Caller, store_id: str) -> None:
    """Raises the Problem for one who is no admin of the store, or where there can be no such store."""
    views.check_store(who.claims, store_id)
    if who.claims.role != "admin" or who.claims.via == VIA_KEY:
        raise Problem(HTTPStatus.FORBIDDEN, "Only admins of the store see and say who may come in.", reason="forbidden")
    # A revocation of `*` would be one in all stores.
    if not ID_TEXT.fullmatch(store_id):
        raise Problem(HTTPStatus.NOT_FOUND, "There is no such store.")


def _id_of_made(request: Request, store_id: str) -> str | None:
    """The id of the key that a request with an Idempotency-Key makes: sent again it would make the same one."""
    sent = header.key_of(request)
    return None if sent is None else header.command_id_of(store_id, sent, "api-key").replace("-", "")[: 2 * ID_BYTES]


def _is_theirs(key: ApiKey, who: Caller) -> bool:
    """Whether a token may see the key: one of a company those of no other."""
    return who.claims.company in {None, key.company_id}


async def _revoked_in(access: Access, user: User, stores: set[str]) -> list[str]:
    """In which of these stores they are revoked. Raises the Problem where it is in all, and that isn't one of them."""
    revoked = await access.revoked_in(user.user_id)
    if EVERY_STORE in revoked - stores:
        raise Problem(HTTPStatus.CONFLICT, REVOKED_EVERYWHERE)
    return sorted(revoked & stores)


@asynccontextmanager
async def _turn(access: Access, store_id: str) -> AsyncIterator[None]:
    """One change at a time: each is dear, and few are made. Raises the Problem where too many wait or Kafka is away."""
    headers = {"retry-after": str(RETRY_AFTER_S)}
    try:
        async with access.changes.turn(store_id):
            yield
    except QueueFull:
        detail = "Too many changes wait already. Nothing was changed: try again."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers) from None
    except (AccessUnwritten, AccessUnread, KafkaError) as error:
        log.warning("access_topic_away", error=repr(error)[:500])
        detail = "The message broker did not confirm it. Nothing of it is sure: do it again."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers) from None


def _check_day(access: Access, store_id: str) -> None:
    """Raises the Problem where the store has no change left today. It is taken once it is done; revocations take none.

    Whoever is revoked again was let in again before, which took one.
    """
    if not access.changes_of_day.has_one(store_id):
        detail = f"A store has at most {CHANGES_OF_STORE_A_DAY_MAX} changes a day; revocations, `till users` and "
        detail += "`till keys` go on."
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, {"retry-after": str(access.changes_of_day.left_s())})


async def _nothing(_news: Sequence[AccessRecord]) -> None:
    """Publish what the topic says already."""


def _can_be_one(user_id: str) -> bool:
    """Whether anybody can be called so: what can't be can't be asked of the database, either."""
    try:
        return 1 <= len(user_id.encode()) <= SUBJECT_BYTES_MAX and "\0" not in user_id
    except UnicodeEncodeError:
        return False


def _wrong(field: str, sentence: str) -> Problem:
    errors = [{"field": field, "problem": sentence}]
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, sentence, errors=errors)


def _no_room(sentence: str) -> Problem:
    return Problem(HTTPStatus.CONFLICT, f"{sentence} Whoever runs Tillstream can make room.")


def _no_key() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "There is no such key in this store, or it was revoked before.")


def _until(key: ApiKey) -> str | None:
    return None if key.previous_until is None else wire_time(key.previous_until)


def _user_view(user: User, *, revoked: bool) -> dict[str, Any]:
    return {"user": user.user_id, "role": user.role, "profile_id": user.profile_id, "revoked": revoked}


def _key_view(key: ApiKey) -> dict[str, Any]:
    shown = {"key": key.key_id, "company_id": key.company_id, "role": key.role, "revoked": key.revoked}
    return shown | {"previous_until": _until(key)}
