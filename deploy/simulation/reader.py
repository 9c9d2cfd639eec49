"""What the services have of a simulated chain, asked for as any other program asks, by HTTP."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import httpx

from deploy.demo.tape import Body
from deploy.simulation.chain import Till
from deploy.simulation.differences import StoreClosings
from deploy.simulation.speakers import CannotSimulate, Speakers

REQUEST_LIMIT_S: Final = 60.0
TRIES_MAX: Final = 20
AGAIN_AFTER_S: Final = 0.5
PAGE_MAX: Final = 500
AT_ONCE_MAX: Final = 8
TRY_AGAIN: Final = frozenset({429, 502, 503, 504})


class Api:
    """One service's API. Raises CannotSimulate for whatever is no reply of 200."""

    def __init__(self, url: str, speakers: Speakers) -> None:
        """`url` is where it answers."""
        self._http = httpx.AsyncClient(base_url=url, timeout=REQUEST_LIMIT_S)
        self._url, self._speakers = url, speakers

    async def close(self) -> None:
        """Let go of its connections."""
        await self._http.aclose()

    async def get(self, store_id: str, path: str, **params: Any) -> Body:
        """What stands at this path, as the store's manager sees it."""
        return await self._ask("GET", store_id, path, params=params)

    async def set_till(self, till: Till) -> None:
        """Set a till up; where it is as it must be, nothing changes."""
        store_id = till.store.store_id
        await self._ask("PUT", store_id, f"/api/stores/{store_id}/profiles/{till.profile_id}", json=till.settings)

    async def _ask(self, method: str, store_id: str, path: str, **more: Any) -> Body:
        trouble = ""
        for _ in range(TRIES_MAX):
            headers: Mapping[str, str] = self._speakers.reader(store_id)
            try:
                reply = await self._http.request(method, path, headers=headers, **more)
            except httpx.TransportError as error:
                trouble = f"nobody answers there ({error!r})"
            else:
                if reply.status_code == httpx.codes.OK:
                    body: Body = reply.json()
                    return body
                trouble = f"{reply.status_code} {reply.text[:300]}"
                if reply.status_code not in {httpx.codes.ACCEPTED, *TRY_AGAIN}:
                    break
            await asyncio.sleep(AGAIN_AFTER_S)
        raise CannotSimulate(f"{method} {self._url}{path}: {trouble}")


async def closings_of(reporting: Api, store_id: str) -> StoreClosings:
    """All closings of a store with their corrections, and how each stands now."""
    closings: list[Body] = []
    standing: list[Body | None] = []
    params: dict[str, Any] = {"store": store_id, "limit": PAGE_MAX, "as_it_stands": "true"}
    while True:
        page = await reporting.get(store_id, "/api/closings", **params)
        closings += page["items"]
        standing += page["as_it_stands"]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    room = asyncio.Semaphore(AT_ONCE_MAX)

    async def corrections_of(closing: Body) -> list[Body]:
        async with room:
            path = f"/api/closings/{closing['closing_id']}"
            page = await reporting.get(store_id, path)
            rows: list[Body] = page["corrections"]
            while (cursor := page.get("next_cursor")) is not None:
                page = await reporting.get(store_id, path, cursor=cursor)
                rows += page["corrections"]
            return rows

    lists = await asyncio.gather(*map(corrections_of, closings))
    return StoreClosings(closings, standing, [correction for rows in lists for correction in rows])
