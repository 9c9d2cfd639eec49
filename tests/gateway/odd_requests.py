"""Requests that Schemathesis makes from an OpenAPI document, brought nearer to what the API takes.

What is made from a document alone is refused at the first door. So some requests bring what the document shows as its
example, a little changed, and ids that there are.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode

TIME_LIMIT_S: Final = 30

ODD: Final = ("", "\x00", "\ud800", "*", "9" * 40, "-1", "1e400", 0, -1, 2**53, 2**63, 10**30, 0.1, None, [], {}, True)


@dataclass
class Tried:
    """What was sent to one operation: how many cases, and the statuses of the replies."""

    label: str
    documented: frozenset[str]
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        return f"{self.statuses.total():>6} cases  {self.label}  ({statuses})"


@dataclass(frozen=True)
class Known:
    """What there is: headers that open doors, and values to put for parameters and members of these names."""

    headers: Sequence[Mapping[str, str]]
    values: Mapping[str, Sequence[str]]


def try_operations(
    document: Mapping[str, Any], address: str, known: Known, cases: int, *, at_random: bool
) -> list[Tried]:
    """Send `cases` requests to each operation. Raises nothing for a bad reply: it is among `wrong`."""
    tried = []
    with requests.Session() as session:
        for result in schemathesis.openapi.from_dict(dict(document)).get_all_operations():
            operation = result.ok()
            one = Tried(operation.label, frozenset(operation.definition.raw["responses"]))
            cases_of_operation = st.one_of(
                operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
                operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
            )
            examples = list(_examples(operation.definition.raw))
            _send(session, address, cases_of_operation, st.data(), known, examples, one, cases, at_random)
            tried.append(one)
    return tried


def _send(
    session: requests.Session,
    address: str,
    strategy: st.SearchStrategy[Case],
    data: st.SearchStrategy[Any],
    known: Known,
    examples: list[Any],
    tried: Tried,
    cases: int,
    at_random: bool,
) -> None:
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=not at_random,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy, data)
    def send(case: Case, data: Any) -> None:
        _bring_nearer(case, data.draw, known, examples)
        # Streams have no end: nothing is read of them.
        with session.request(
            **case.as_transport_kwargs(base_url=address), timeout=TIME_LIMIT_S, stream=True, allow_redirects=False
        ) as response:
            tried.statuses[response.status_code] += 1
            if response.status_code >= 500 or str(response.status_code) not in tried.documented:
                tried.wrong.append(f"{response.status_code} {response.text[:300]}: {case.as_curl_command()}")

    send()


def _examples(operation: Mapping[str, Any]) -> Iterable[Any]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if "example" in content:
        yield content["example"]
    for one in content.get("examples", {}).values():
        yield one["value"]


def _bring_nearer(case: Case, draw: Any, known: Known, examples: list[Any]) -> None:
    if examples and draw(st.integers(0, 3)) != 2:
        case.body = draw(_nearly(draw(st.sampled_from(examples)), known))
    # Five wrong passwords, and the door would be locked for all that follow.
    if isinstance(case.body, dict) and isinstance(case.body.get("password"), str):
        case.body["password"] = draw(st.sampled_from(known.values["password"]))
    # Most keys contradict the command_id of the body, and that is all that the reply would say.
    if draw(st.booleans()):
        case.headers.pop("Idempotency-Key", None)
    for parameters in (case.path_parameters, case.query):
        for name in parameters or ():
            if name in known.values and draw(st.booleans()):
                parameters[name] = draw(st.sampled_from(known.values[name]))
    if draw(st.integers(0, 9)) != 7:
        for name, value in draw(st.sampled_from(known.headers)).items():
            case.headers[name] = value


@st.composite
def _nearly(draw: Any, example: Any, known: Known) -> Any:
    """The example with other ids, and up to two of its members changed, left out or added."""
    body = deepcopy(example)
    for name in body:
        if name in known.values and draw(st.booleans()):
            body[name] = draw(st.sampled_from(known.values[name]))
    for _ in range(draw(st.integers(0, 2))):
        inner = draw(st.sampled_from(list(_containers(body))))
        keys = [*inner] if isinstance(inner, dict) else [*range(len(inner))]
        if not keys:
            continue
        key = draw(st.sampled_from(keys))
        if draw(st.integers(0, 2)):
            inner[key] = draw(st.one_of(st.sampled_from(ODD), st.text(max_size=80), st.integers()))
        else:
            del inner[key]
    return body


def _containers(value: Any) -> Iterable[Any]:
    """The objects and lists in a value, itself first."""
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _containers(inner)
