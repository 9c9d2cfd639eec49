"""What time a reply says it is: registers put their clocks right by it."""

import time
from email.utils import parsedate_to_datetime

import uvicorn

from services.platform.http.server import _Server


async def test_the_date_of_replies_is_written_at_each_tick_and_not_once_a_second() -> None:
    async def app(scope: object, receive: object, send: object) -> None: ...

    config = uvicorn.Config(app)
    config.load()
    server = _Server(config)
    for counter in (1, 5, 9, 10, 11):
        server.server_state.default_headers = []
        before = int(time.time())

        await server.on_tick(counter)

        ((name, value),) = [one for one in server.server_state.default_headers if one[0] == b"date"]
        assert name == b"date"
        assert before <= parsedate_to_datetime(value.decode()).timestamp() <= time.time()
