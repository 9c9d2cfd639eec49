"""The quotas that a broker has for a principal or a client."""

from typing import Any, Final

from kafka.admin import KafkaAdminClient
from kafka.protocol.admin import DescribeClientQuotasRequest

EXACT: Final = 0


def quotas_of(admin: KafkaAdminClient, user: str) -> dict[str, float]:
    """Of this principal alone, by their names; none where none were set. A broker tells of them a moment later."""
    component = DescribeClientQuotasRequest.ComponentData(entity_type="user", match_type=EXACT, match=user)
    request = DescribeClientQuotasRequest(components=[component], strict=True)
    # The client library has the request, and no method for it.
    entries: list[Any] = admin._manager.run(admin._manager.send, request).entries
    return {value.key: value.value for entry in entries for value in entry.values}
