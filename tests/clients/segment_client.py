"""segment-analytics-python against SEGMENT_HOST, which fails some of the requests. Sends EVENTS track calls and one of each
other call, compressed with gzip."""

import os

from segment.analytics.client import Client


def main():
    errors = []
    client = Client(
        "any",
        host=os.environ["SEGMENT_HOST"],
        gzip=True,
        timeout=2,
        max_retries=30,
        on_error=lambda error, batch: errors.append((error, len(batch))),
    )
    user = {"user_id": "ada", "anonymous_id": "python"}
    client.identify(**user, traits={"plan": "pro"})
    client.group(**user, group_id="acme", traits={"seats": 5})
    client.alias(previous_id="python", user_id="ada")
    client.page(**user, name="Pricing", properties={"path": "/pricing"})
    client.screen(**user, name="Home")
    for n in range(int(os.environ["EVENTS"])):
        client.track(**user, event="Order Completed", properties={"n": n})
    client.shutdown()
    assert not errors, f"{len(errors)} errors, the first: {errors[0]}"
    print("ok")


main()
