import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { DashboardService } from "../src/gen/millrace/v1/dashboard_pb.ts";
import { HealthService } from "../src/gen/millrace/v1/health_pb.ts";
import { IngestService } from "../src/gen/millrace/v1/ingest_pb.ts";
import { TimeRange } from "../src/gen/millrace/v1/range_pb.ts";

/** Reads the expected values over gRPC: the page uses gRPC-Web. */
export const dashboard = (url: string) => createClient(DashboardService, createGrpcTransport({ baseUrl: url }));

export const health = (url: string) => createClient(HealthService, createGrpcTransport({ baseUrl: url }));

export const ingest = (url: string) => createClient(IngestService, createGrpcTransport({ baseUrl: url }));

/** The request of a page at ?range=1h&zone=Europe/Madrid */
export const PANEL_REQUEST = { timeRange: TimeRange.TIME_RANGE_1H, timeZone: "Europe/Madrid" };
