"""All services as processes on one market, and a look at what each says of itself."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.market import Market

Labels = frozenset[tuple[str, str]]


@dataclass
class Scrape:
    """What one process says at /metrics."""

    families: set[str] = field(default_factory=set)
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def value(self, name: str, **labels: str) -> float:
        """One sample; 0 where it is not there yet."""
        return self.samples.get((name, frozenset(labels.items())), 0.0)

    def names(self) -> set[str]:
        """What a query may ask for, labels that were not seen yet included."""
        suffixes = ("", "_total", "_bucket", "_sum", "_count")
        return {family + suffix for family in self.families for suffix in suffixes}


@dataclass
class AllServices:
    """The addresses of the services."""

    market: Market
    addresses: dict[str, str]

    async def scrape(self, service: str) -> Scrape:
        async with httpx.AsyncClient(base_url=self.addresses[service], timeout=30) as http:
            page = (await http.get("/metrics")).text
        scrape = Scrape()
        for family in text_string_to_metric_families(page):
            scrape.families.add(family.name)
            scrape.samples |= {(s.name, frozenset(s.labels.items())): s.value for s in family.samples}
        return scrape

    def lines(self, service: str) -> Iterator[dict[str, Any]]:
        """The log of a service, line by line."""
        for process in self.market.processes:
            for line in process.log.read_text().splitlines():
                read = json.loads(line)
                if read["service"] == service:
                    yield read

    def gateway(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.addresses["gateway"], timeout=60)
