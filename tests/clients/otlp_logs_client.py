"""OpenTelemetry's Python SDK, which exports logs to MILLRACE_TEST_ADDR over gRPC and over HTTP with protobuf."""

import os
from uuid import UUID

from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

EVENTS = 2_000


def export(exporter, session):
    resource = Resource.create({"service.name": "shop"})
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=2 * EVENTS))
    logger = provider.get_logger("test")
    common = {"session.id": session, "user.id": "ada", "geo.country.iso_code": "ES"}
    for n in range(EVENTS):
        logger.emit(event_name="order_completed", attributes={**common, "n": n, "total": 1.5, "tags": ["a", "b"]})
    logger.emit(attributes={**common, "event.name": "page_view", "url.path": "/pricing"}, body="viewed")
    for _ in range(2):  # the same record twice
        uid = str(UUID(bytes=session.encode().ljust(16)))
        logger.emit(event_name="identified", attributes={**common, "log.record.uid": uid})
    logger.emit(body="an ordinary log line", attributes=common)
    assert provider.force_flush(120_000)
    provider.shutdown()


def main():
    address = os.environ["MILLRACE_TEST_ADDR"]
    export(GrpcExporter(endpoint=f"http://{address}", insecure=True, timeout=60), "grpc")
    url = f"http://{address}/v1/logs"
    export(HttpExporter(endpoint=url, timeout=60, compression=Compression.Gzip), "http")
    print("ok")


main()
