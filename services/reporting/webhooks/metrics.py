"""What the senders of webhooks count."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

TRIES: Final = Counter("till_webhooks_tries_total", "Tries to send a message, by what became of it.", ["outcome"])
SECONDS: Final = Histogram(
    "till_webhooks_seconds",
    "From the beginning of a try to the receiver's answer.",
    buckets=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
)
WAITING: Final = Gauge(
    "till_webhooks_waiting_seconds",
    "How long ago the reader learnt of the oldest record that an endpoint waits for, or it last got one to catch up.",
)
ENDPOINTS: Final = Gauge("till_webhooks_endpoints", "Endpoints, by how they stand.", ["state"])
LOOKED: Final = Gauge(
    "till_webhooks_looked_timestamp_seconds", "When the sender last saw in the database how its endpoints stand."
)
FAULTS: Final = Counter("till_webhooks_faults_total", "Times that the database was away, or a lease was lost.")

# A rate has no beginning where its first sample is already counted.
for _outcome in ("taken", "failed"):
    TRIES.labels(_outcome)
