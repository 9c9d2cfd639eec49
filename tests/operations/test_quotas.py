"""Quotas of the registers' principals, as the broker has them."""

from contextlib import closing
from uuid import uuid4

from kafka.protocol.admin import DescribeClientQuotasRequest

from deploy.embedded.stack import Stack
from services.operations.kafka_principals import PRODUCER_BYTES_PER_S, REQUEST_PERCENT, limit
from services.platform.kafka.topics import admin_client
from services.platform.settings import Settings

EXACT = 0


def test_a_register_may_send_so_much_and_its_limit_can_be_set_twice(stack: Stack) -> None:
    user = f"till-register-{uuid4()}"
    with closing(admin_client(Settings(kafka=stack.kafka))) as admin:
        limit(admin, user)
        limit(admin, user)
        component = DescribeClientQuotasRequest.ComponentData(entity_type="user", match_type=EXACT, match=user)
        request = DescribeClientQuotasRequest(components=[component], strict=True)
        (entry,) = admin._manager.run(admin._manager.send, request).entries
    quotas = {value.key: value.value for value in entry.values}
    assert quotas == {"producer_byte_rate": PRODUCER_BYTES_PER_S, "request_percentage": REQUEST_PERCENT}
