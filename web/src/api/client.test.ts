import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, expect, test } from "vitest";
import { ListEventNamesResponseSchema } from "../gen/millrace/v1/catalogue_pb.ts";
import { WatchResponseSchema } from "../gen/millrace/v1/health_pb.ts";
import { call, setClient, stream } from "./client.ts";
import { fieldViolations, toFailure } from "./errors.ts";
import { grpcWebClient } from "./grpcWeb.ts";
import { HEALTH_WATCH, LIST_EVENT_NAMES } from "./methods.ts";
import { Code, StatusError } from "./status.ts";

afterEach(() => setClient(undefined));

const envelope = (flags: number, data: Uint8Array) => {
  const header = new Uint8Array(5);
  header[0] = flags;
  new DataView(header.buffer).setUint32(1, data.length);
  return [...header, ...data];
};
const trailer = (text: string) => envelope(0x80, new TextEncoder().encode(text));

/** The server responds with these bytes to everything. */
function serve(...parts: number[][]): { urls: string[] } {
  const urls: string[] = [];
  const respond: typeof fetch = async (url) => {
    urls.push(String(url));
    return new Response(new Uint8Array(parts.flat()), { headers: { "content-type": "application/grpc-web+proto" } });
  };
  setClient(grpcWebClient("https://in-memory/tools/millrace/", respond));
  return { urls };
}

test("a unary call has the types of the contract, below the path of the page", async () => {
  const bytes = toBinary(
    ListEventNamesResponseSchema,
    create(ListEventNamesResponseSchema, { names: [{ name: "page_view" }] }),
  );
  const { urls } = serve(envelope(0, bytes), trailer("grpc-status: 0\r\n"));
  const { names } = await call(LIST_EVENT_NAMES, {});
  expect(names.map(({ name }) => name)).toEqual(["page_view"]);
  expect(urls).toEqual(["https://in-memory/tools/millrace/millrace.v1.CatalogueService/ListEventNames"]);
});

test("a stream brings its messages, then the server's error", async () => {
  const bytes = toBinary(WatchResponseSchema, create(WatchResponseSchema, {}));
  serve(envelope(0, bytes), envelope(0, bytes), trailer("grpc-status: 14\r\ngrpc-message: shutting%20down\r\n"));
  let count = 0;
  const read = async () => {
    for await (const _ of stream(HEALTH_WATCH, {})) count += 1;
  };
  const error = await read().catch((failure: unknown) => failure);
  expect(count).toBe(2);
  expect(toFailure(error)).toMatchObject({ kind: "transient", reason: "shutting down" });
});

test("fields that the server rejects are named", () => {
  // google.rpc.BadRequest with one violation.
  const text = (value: string) => [value.length, ...new TextEncoder().encode(value)];
  const violation = [10, ...text("limit"), 18, ...text("at most 50")];
  const details = [{ type: "google.rpc.BadRequest", value: new Uint8Array([10, violation.length, ...violation]) }];
  expect(fieldViolations(new StatusError("limit: at most 50", Code.InvalidArgument, details))).toEqual([
    { field: "limit", description: "at most 50" },
  ]);
  expect(fieldViolations(new StatusError("x", Code.InvalidArgument))).toEqual([]);
});
