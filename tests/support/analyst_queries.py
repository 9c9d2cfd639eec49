"""What analysts ask, out of the pages that say it: the documented query, and those of Grafana's dashboard."""

import json
from datetime import date
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (_ROOT / "docs" / "analysts.md").read_text(encoding="utf-8")
_DASHBOARD: Final = json.loads(
    (_ROOT / "deploy" / "observability" / "grafana" / "analysts" / "over-short.json").read_text(encoding="utf-8")
)
_WINDOW: Final = "current_date - 91"


def on_page(begin: date) -> str:
    """Over and short by cashier and week, as the page asks it, of the days from `begin` on."""
    query = PAGE.split("```sql\n")[1].split("```")[0]
    return _from(query, begin)


def of_dashboard(begin: date, end: date, stores: list[str], currency: str) -> dict[str, str]:
    """All that the dashboard asks of the days in [begin, end), by panel or variable, with macros written out."""
    asked = {}
    for panel in _DASHBOARD["panels"]:
        for target in panel["targets"]:
            asked[panel["title"]] = (
                target["rawSql"]
                .replace("$__timeFilter(closed_at)", f"closed_at BETWEEN '{begin}T00:00:00Z' AND '{end}T00:00:00Z'")
                .replace("$__timeFrom()", f"'{begin}T00:00:00Z'")
                .replace("$store", ", ".join(f"'{store}'" for store in stores))
                .replace("$currency", currency)
            )
    for variable in _DASHBOARD["templating"]["list"]:
        asked[f"choices of {variable['label']}"] = _from(variable["query"], begin)
    return asked


def choices() -> list[str]:
    """What the dashboard lets choose from, as it asks for it."""
    return [variable["query"] for variable in _DASHBOARD["templating"]["list"]]


def _from(query: str, begin: date) -> str:
    assert query.count(_WINDOW) == 1, query
    return query.replace(_WINDOW, f"DATE '{begin}'").strip(" ;\n")
