"""A Python producer and reader with generated stubs, against the server at MILLRACE_TEST_ADDR."""

import os
import sys
import time

sys.path.insert(0, os.environ["MILLRACE_TEST_STUBS"])

import grpc
from google.protobuf import struct_pb2
from millrace.v1 import dashboard_pb2, dashboard_pb2_grpc, event_pb2, health_pb2, health_pb2_grpc, ingest_pb2, ingest_pb2_grpc


def event(name, **fields):
    event = event_pb2.Event(event_name=name, session_id="py", **fields)
    event.timestamp.GetCurrentTime()
    return event


def main():
    channel = grpc.insecure_channel(os.environ["MILLRACE_TEST_ADDR"])
    ingest = ingest_pb2_grpc.IngestServiceStub(channel)
    dashboard = dashboard_pb2_grpc.DashboardServiceStub(channel)
    health = health_pb2_grpc.HealthServiceStub(channel)

    properties = struct_pb2.Struct()
    properties.update({"feature": "python", "nested": {"a": [1, 2.5, None, True]}})
    used = event("feature_used", user_id="ada", properties=properties)
    response = ingest.SendEvents(
        ingest_pb2.SendEventsRequest(events=[used, event("x", country_code="ESP"), event_pb2.Event()])
    )
    assert (response.accepted, response.rejected) == (1, 2), response
    assert [(r.index, r.field) for r in response.rejections] == [(1, "country_code"), (2, "event_name")], response

    requests = [
        ingest_pb2.UploadEventsRequest(producer_id="py", sequence=n, events=[event("upload")] * 10) for n in (1, 2, 3)
    ]
    response = ingest.UploadEvents(iter(requests))
    assert (response.accepted, response.last_durable_sequence) == (30, 3), response
    stream = ingest.StreamEvents(
        ingest_pb2.StreamEventsRequest(producer_id="py", sequence=n, events=[event("stream")]) for n in (3, 4, 5)
    )
    responses = [(a.sequence, a.accepted, a.duplicates) for a in stream]
    assert responses == [(3, 0, 1), (4, 1, 0), (5, 1, 0)], responses
    producer = ingest.GetProducer(ingest_pb2.GetProducerRequest(producer_id="py"))
    assert producer.last_durable_sequence == 5, producer

    for _ in range(300):
        state = health.Check(health_pb2.CheckRequest()).health
        if state.buffer_size == 0:
            break
        time.sleep(0.1)
    assert state.status == health_pb2.STATUS_OK and state.events_inserted == 33, state
    first = next(iter(health.Watch(health_pb2.WatchRequest())))
    assert first.health.status == health_pb2.STATUS_OK, first

    features = dashboard.GetTopFeatures(dashboard_pb2.GetTopFeaturesRequest())
    assert [(f.feature, f.unique_users) for f in features.features] == [("python", 1)], features
    table = dashboard.QueryPanel(dashboard_pb2.QueryPanelRequest(panel="top_features", parameters={"limit": "1"})).table
    assert [c.name for c in table.columns] == ["feature", "unique_users", "events"], table
    try:
        dashboard.GetErrorRate(dashboard_pb2.GetErrorRateRequest(time_zone="Mars/Base"))
        raise AssertionError("an unknown time zone was taken")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and "Mars/Base" in error.details(), error
    print("ok")


main()
