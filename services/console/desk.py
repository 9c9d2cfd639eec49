"""What the requests of one console share, and one request with whoever sent it: how a page is made and replied."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Match

from services.console import words
from services.console.apis import Apis
from services.console.assets import Assets
from services.console.cookies import LANGUAGE, SIGN_IN_FORM, SIGNED_IN, Cookies
from services.console.formats import Formats
from services.console.forms import FIELD, form_key, read_form
from services.console.languages import Language, Reader, choose, load_languages
from services.console.person import Person, read_person
from services.console.shared_texts import SharedTexts
from services.platform.errors import TillError
from services.platform.http.links import link_to
from services.platform.settings import Settings

TEMPLATES: Final = Path(__file__).parent / "templates"
HTMX_REQUEST: Final = "hx-request"
HTMX_CURRENT_URL: Final = "hx-current-url"
EVENT_STREAM: Final = "text/event-stream"
MINUTE_S: Final = 60.0
"""Times of today are written otherwise than those of yesterday: what is kept beyond midnight is kept so long."""


class NobodySignedIn(TillError):
    """The page is for people who are signed in; `ended` where they were, and their token counts no longer."""

    def __init__(self, *, ended: bool = False) -> None:
        super().__init__("Sign in first.")
        self.ended = ended


@dataclass(frozen=True, slots=True)
class Desk:
    """Shared by all requests of one process."""

    settings: Settings
    apis: Apis
    assets: Assets
    cookies: Cookies
    languages: Mapping[str, Language]
    templates: Mapping[str, Environment]
    shared_texts: SharedTexts
    stop: asyncio.Event
    """Set when the process ends: what stays open ends, too."""


def open_desk(settings: Settings, apis: Apis, stop: asyncio.Event) -> Desk:
    """The desk of a process: languages and templates are read once."""
    languages, assets = load_languages(), Assets()
    environments = {code: _environment(language) for code, language in languages.items()}
    return Desk(
        settings, apis, assets, Cookies(https=settings.console_https), languages, environments, SharedTexts(), stop
    )


class Visit:
    """One request: who sent it, how they read, and the replies that they may get."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.desk: Desk = request.app.state.desk
        cookies = self.desk.cookies
        self.token = cookies.read(request, SIGNED_IN)
        self.person_or_none = read_person(self.token) if self.token else None
        self.reader: Reader = choose(
            self.desk.languages, cookies.read(request, LANGUAGE), request.headers.get("accept-language", "")
        )
        self.formats = Formats(self.reader.locale)

    @property
    def person(self) -> Person:
        """Whoever is signed in. Raises NobodySignedIn."""
        if self.person_or_none is None:
            raise NobodySignedIn(ended=bool(self.token))
        return self.person_or_none

    @property
    def is_partial(self) -> bool:
        """Whether a part of a page is asked for, by the page that is there already."""
        return HTMX_REQUEST in self.request.headers

    @property
    def listens(self) -> bool:
        """Whether a page listens for changes, and shows nothing of the reply."""
        return EVENT_STREAM in self.request.headers.get("accept", "")

    @property
    def shown(self) -> str:
        """The path of the page that asks for a part of itself, with its query; home where it does not say."""
        try:
            url = urlsplit(self.request.headers.get(HTMX_CURRENT_URL, ""))
        except ValueError:
            return "/"
        path = (f"{url.path}?{url.query}" if url.query else url.path) or "/"
        return path.removeprefix(self.link("")) or "/"

    def say(self, sentence: str, **values: Any) -> str:
        """The sentence in the reader's language; `%(name)s` stands for a value."""
        translated = self.reader.language.catalogue.gettext(sentence)
        return translated % values if values else translated

    def count(self, one: str, many: str, number: int) -> str:
        """The sentence for so many, with `%(number)s` in it."""
        return self.reader.language.catalogue.ngettext(one, many, number) % {"number": self.formats.number(number)}

    async def form(self) -> Mapping[str, str]:
        """The fields of the form that is sent. Raises as `read_form`, and NobodySignedIn."""
        return await read_form(self.request, self.person.token)

    @property
    def here(self) -> str:
        """The path that is asked for, with its query; of a form that was sent, the page that it most likely was on."""
        url = self.request.url
        if self.request.method == "GET" or self._is_page(url.path):
            return f"{url.path}?{url.query}" if url.query else url.path
        parent = url.path.rpartition("/")[0]
        return parent if self._is_page(parent) else "/"

    def _is_page(self, path: str) -> bool:
        """Whether this path can be asked for by whoever follows a link."""
        scope = {**self.request.scope, "method": "GET", "path": path}
        return any(route.matches(scope)[0] == Match.FULL for route in self.request.app.routes)

    def link(self, path: str) -> str:
        """The path as the browser has to ask for it."""
        return link_to(self.request, path)

    def part(self, template: str, made_of: Any, **values: Any) -> Markup:
        """The text of a template that shows nothing but `values`, in the reader's language, by the minute that it is.

        It is made once for all readers of whom `made_of` says the same: it has to name all that `values` come of.
        """
        code, now_s = self.reader.language.code, time.time()
        shown = self.formats.functions() | {"link": self.link, "now_s": now_s, "words": words}
        return Markup(  # noqa: S704 - a template's own text
            self.desk.shared_texts.text(
                [template, code, str(self.reader.locale), self.link(""), now_s // MINUTE_S, made_of],
                lambda: self.desk.templates[code].get_template(template).render(shown | values),
            )
        )

    def page(
        self, template: str, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None, **values: Any
    ) -> Response:
        """The page of a template, made for this visit."""
        person, language = self.person_or_none, self.reader.language
        shown = self.formats.functions() | {
            "asset": lambda name: self.link(self.desk.assets.path(name)),
            "form_field": FIELD,
            "form_key": form_key(person.token) if person else "",
            "here": self.here,
            "language": language,
            "languages": self.desk.languages.values(),
            "link": self.link,
            "now_s": time.time(),
            "person": person,
            "path": self.request.url.path,
            "words": words,
        }
        text = self.desk.templates[language.code].get_template(template).render(shown | values)
        return self.reply(text, status, headers)

    def reply(self, text: str, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
        """A text of a template, as it is replied."""
        reply = HTMLResponse(text, status, dict(headers or {}))
        reply.headers["content-language"] = self.reader.language.code
        reply.headers["vary"] = "accept-language, cookie"
        return reply

    def go(self, path: str) -> Response:
        """Lead the browser on, the whole page too where a part of it asks: a form is not sent again by reloading."""
        if self.is_partial:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers={"hx-redirect": self.link(path)})
        return RedirectResponse(self.link(path), HTTPStatus.SEE_OTHER)

    def forget(self, reply: Response) -> Response:
        """The reply, after which nobody is signed in in this browser."""
        self.desk.cookies.drop(reply, SIGNED_IN)
        self.desk.cookies.drop(reply, SIGN_IN_FORM)
        return reply


def _environment(language: Language) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(language.catalogue, newstyle=True)  # type: ignore[attr-defined]
    return environment
