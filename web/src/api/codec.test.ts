// The generated tables, and what the codec makes of them, are compared with protobuf-es.

import {
  create,
  type DescField,
  type DescFile,
  type DescMessage,
  fromBinary,
  type Message,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import * as admin from "../gen/millrace/v1/admin_pb.ts";
import * as catalogue from "../gen/millrace/v1/catalogue_pb.ts";
import * as dashboard from "../gen/millrace/v1/dashboard_pb.ts";
import * as event from "../gen/millrace/v1/event_pb.ts";
import * as events from "../gen/millrace/v1/events_pb.ts";
import * as explore from "../gen/millrace/v1/explore_pb.ts";
import * as filter from "../gen/millrace/v1/filter_pb.ts";
import * as health from "../gen/millrace/v1/health_pb.ts";
import * as ingest from "../gen/millrace/v1/ingest_pb.ts";
import * as insights from "../gen/millrace/v1/insights_pb.ts";
import * as people from "../gen/millrace/v1/people_pb.ts";
import * as range from "../gen/millrace/v1/range_pb.ts";
import { decode, encode, type Kind, type Schema, schema } from "./codec.ts";
import type { Method } from "./grpcWeb.ts";

const FILES: DescFile[] = [
  admin.file_millrace_v1_admin,
  catalogue.file_millrace_v1_catalogue,
  dashboard.file_millrace_v1_dashboard,
  event.file_millrace_v1_event,
  events.file_millrace_v1_events,
  explore.file_millrace_v1_explore,
  filter.file_millrace_v1_filter,
  health.file_millrace_v1_health,
  ingest.file_millrace_v1_ingest,
  insights.file_millrace_v1_insights,
  people.file_millrace_v1_people,
  range.file_millrace_v1_range,
];

const constant = (name: string) => name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toUpperCase();
type Table = Schema<unknown>;
const modules = import.meta.glob<Record<string, unknown>>("../gen/millrace/v1/*_codec.ts", { eager: true });
const moduleOf = (file: DescFile) => modules[`../gen/${file.name}_codec.ts`] ?? {};
const messages = FILES.flatMap((file) => [...file.messages, ...file.messages.flatMap((each) => each.nestedMessages)]);
const plain = messages.filter((message) => message.proto.options?.mapEntry !== true);
const tableOf = (message: DescMessage): Table => {
  const name = constant(message.parent ? `${message.parent.name}_${message.name}` : message.name);
  const table = moduleOf(message.file)[name];
  if (!table) throw new Error(`no table ${name}`);
  return table as Table;
};

/** The page has no use for it. */
const isLeftOut = (field: DescField) => field.message?.typeName === "google.protobuf.Struct";

/** Numbers below 1, the same in each run. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

type Random = () => number;
const pick = <T>(random: Random, values: T[]): T => values[Math.floor(random() * values.length)] as T;

function randomScalar(random: Random, type: ScalarType): unknown {
  switch (type) {
    case ScalarType.STRING:
      return pick(random, ["", "a", "Málaga", "日本", "x".repeat(300)]);
    case ScalarType.BYTES:
      return pick(random, [new Uint8Array(), new Uint8Array([0, 255, 7])]);
    case ScalarType.BOOL:
      return random() < 0.5;
    case ScalarType.DOUBLE:
      return pick(random, [0, 0.1, -2.5e300, Number.POSITIVE_INFINITY, 3]);
    case ScalarType.INT64:
      return pick(random, [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 1_700_000_000n]);
    case ScalarType.UINT64:
      return pick(random, [0n, 1n, 2n ** 64n - 1n]);
    case ScalarType.UINT32:
      return pick(random, [0, 1, 2 ** 32 - 1]);
    default:
      return pick(random, [0, 1, -1, 2 ** 31 - 1]);
  }
}

function randomElement(random: Random, field: DescField, depth: number): unknown {
  if (field.message) return randomMessage(random, field.message, depth - 1);
  if (field.enum) return pick(random, field.enum.values).number;
  return randomScalar(random, field.scalar as ScalarType);
}

function randomMessage(random: Random, type: DescMessage, depth: number): Record<string, unknown> {
  const message: Record<string, unknown> = {};
  for (const field of type.fields) {
    if (isLeftOut(field) || random() < 0.3 || (field.message && depth <= 0)) continue;
    const element = () => randomElement(random, field, depth);
    if (field.fieldKind === "list") {
      message[field.localName] = Array.from({ length: Math.floor(random() * 4) }, element);
    } else if (field.fieldKind === "map") {
      message[field.localName] = { b: element(), a: element() };
    } else if (field.oneof) {
      message[field.oneof.localName] = { case: field.localName, value: element() };
    } else {
      message[field.localName] = element();
    }
  }
  return message;
}

/** A message of protobuf-es as the codec has it. */
function withoutNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNames);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  const entries = Object.entries(value).filter(([key]) => key !== "$typeName" && key !== "$unknown");
  return Object.fromEntries(entries.map(([key, each]) => [key, withoutNames(each)]));
}

describe("every message of the contract", () => {
  test.each(plain.map((message) => [message.typeName, message] as const))("%s", (_, message) => {
    const table = tableOf(message);
    expect([...table.fields.keys()]).toEqual(
      message.fields.flatMap((field) => (isLeftOut(field) ? [] : field.number)).sort((a, b) => a - b),
    );
    const random = randomNumbers(message.typeName.length);
    for (let round = 0; round < 25; round += 1) {
      const init = randomMessage(random, message, 4);
      const expected: Message = create(message, init);
      const bytes = toBinary(message, expected);
      expect(encode(table, init as never)).toEqual(bytes);
      // As protobuf-es reads it: absent fields included.
      expect(decode(table, bytes)).toEqual(withoutNames(fromBinary(message, bytes)));
    }
    expect(encode(table, {} as never)).toHaveLength(0);
  });
});

test("each method that a browser can call is there, with its path and its messages", () => {
  const services = FILES.flatMap(({ services }) => services);
  for (const { methods, file } of services) {
    for (const { parent, name, input, output, methodKind } of methods) {
      const path = `${parent.typeName}/${name}`;
      const found = Object.values(moduleOf(file)).find((each) => (each as { path?: string }).path === path);
      if (methodKind !== "unary" && methodKind !== "server_streaming") {
        expect(found, path).toBeUndefined();
        continue;
      }
      expect(found, path).toBeDefined();
      const { request, response, kind } = found as Method<unknown, unknown>;
      expect(request).toBe(tableOf(input));
      expect(response).toBe(tableOf(output));
      expect(kind).toBe(methodKind === "unary" ? "unary" : "stream");
    }
  }
});

test.each<[Kind, unknown[]]>([
  ["int64", [-1n, 2n ** 62n]],
  ["uint64", [2n ** 64n - 1n]],
  ["double", [0.5, Number.NaN]],
  ["bool", [true, false]],
  ["string", ["", "ä"]],
])("repeated %s values are read, packed or not", (kind, values) => {
  const type = schema<{ values: unknown[] }>({ 1: ["values", kind, "repeated"] });
  const single = schema<{ values: unknown }>({ 1: ["values", kind, "optional"] });
  expect(decode(type, encode(type, { values }))).toEqual({ values });
  const apart = values.flatMap((value) => [...encode(single, { values: value as never })]);
  expect(decode(type, new Uint8Array(apart))).toEqual({ values });
});

test("truncated bytes are rejected, and unknown fields are skipped", () => {
  const type = tableOf(dashboard.QueryPanelRequestSchema);
  const bytes = encode(type, { panel: "orders", timeZone: "UTC" } as never);
  expect(() => decode(type, bytes.subarray(0, bytes.length - 1))).toThrow();
  expect(decode(schema<{ timeZone: string }>({ 3: ["timeZone", "string"] }), bytes)).toEqual({ timeZone: "UTC" });
});
