// Protobuf in binary, driven by tables. The generated schemas carry descriptors of all messages, and code for JSON and
// reflection: more than all the rest of the worker.

import { BIT64, LENGTH_DELIMITED, Reader, VARINT, Writer } from "./wire.ts";

type Scalar = "string" | "bytes" | "bool" | "int32" | "uint32" | "int64" | "uint64" | "double";
/** A message is a function, because messages may contain themselves, and so that a bundle has only the tables it needs. */
export type Kind = Scalar | (() => Schema<unknown>);

export interface Field {
  name: string;
  kind: Kind;
  repeated?: boolean;
  /** By texts. */
  map?: boolean;
  /** Absent is not the same as the default. */
  optional?: boolean;
  /** Name of the oneof that the field belongs to. */
  oneof?: string;
}

/** By field number. An enum is its number. `T` is the generated type, without `$typeName`. */
export interface Schema<T> {
  readonly fields: ReadonlyMap<number, Field>;
  /** Only for the compiler. */
  readonly type?: T;
}

/** "repeated", "optional", "map", or "oneof" with the name of the group. */
type How = "repeated" | "optional" | "map" | `oneof ${string}`;

/** Each field: name in the generated type, kind, and how often it occurs. The tables of the contract are generated. */
export function schema<T>(fields: Record<number, readonly [name: string, kind: Kind, how?: How]>): Schema<T> {
  const table = new Map<number, Field>();
  for (const [number, [name, kind, how]] of Object.entries(fields)) {
    if (how?.startsWith("oneof ")) table.set(Number(number), { name, kind, oneof: how.slice("oneof ".length) });
    else table.set(Number(number), how === undefined ? { name, kind } : { name, kind, [how]: true });
  }
  return { fields: table };
}

type Values = Record<string, unknown>;

function defaultOf({ kind, repeated, map, optional }: Field): unknown {
  if (repeated) return [];
  if (map) return {};
  if (optional || typeof kind !== "string") return undefined;
  switch (kind) {
    case "string":
      return "";
    case "bytes":
      return new Uint8Array();
    case "bool":
      return false;
    case "int64":
    case "uint64":
      return 0n;
    default:
      return 0;
  }
}

/** Throws if the bytes are not such a message. Unknown fields are skipped. */
export const decode = <T>(type: Schema<T>, bytes: Uint8Array): T => read(type, new Reader(bytes)) as T;

function read({ fields }: Schema<unknown>, reader: Reader): Values {
  const message: Values = {};
  for (const field of fields.values()) {
    message[field.oneof ?? field.name] = field.oneof === undefined ? defaultOf(field) : { case: undefined };
  }
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const field = fields.get(number);
    if (!field) reader.skip(wireType);
    else if (field.oneof !== undefined) message[field.oneof] = { case: field.name, value: readValue(field, reader) };
    else if (field.map) readEntry(field, reader, message[field.name] as Values);
    else if (!field.repeated) message[field.name] = readValue(field, reader);
    else readItems(field, reader, wireType, message[field.name] as unknown[]);
  }
  return message;
}

function readValue({ kind }: Field, reader: Reader): unknown {
  return typeof kind === "string" ? reader[kind]() : read(kind(), new Reader(reader.bytes()));
}

const entryOf = (kind: Kind): Schema<{ key: string; value: unknown }> =>
  schema({ 1: ["key", "string"], 2: ["value", kind] });

function readEntry({ kind }: Field, reader: Reader, entries: Values): void {
  const { key, value } = decode(entryOf(kind), reader.bytes());
  entries[key] = value ?? (typeof kind === "string" ? undefined : read(kind(), new Reader(new Uint8Array())));
}

/** Numbers are packed: all in one field. */
function readItems(field: Field, reader: Reader, wireType: number, items: unknown[]): void {
  const packed = wireType === LENGTH_DELIMITED && wireTypeOf(field.kind) !== LENGTH_DELIMITED;
  if (!packed) {
    items.push(readValue(field, reader));
    return;
  }
  for (const end = reader.uint32() + reader.pos; reader.pos < end; ) items.push(readValue(field, reader));
}

function wireTypeOf(kind: Kind): number {
  if (kind === "double") return BIT64;
  return typeof kind !== "string" || kind === "string" || kind === "bytes" ? LENGTH_DELIMITED : VARINT;
}

/** Absent fields are as good as default values. The bytes are those of protobuf-es. */
export function encode<T>(type: Schema<T>, message: Init<T>): Uint8Array<ArrayBuffer> {
  return write(type, message as Values, new Writer()).finish();
}

function write({ fields }: Schema<unknown>, message: Values, writer: Writer): Writer {
  for (const [number, field] of fields) writeField(writer, number, field, message);
  return writer;
}

function writeField(writer: Writer, number: number, field: Field, message: Values): void {
  const { name, kind, repeated, map, optional, oneof } = field;
  const wireType = wireTypeOf(kind);
  const value = oneof === undefined ? message[name] : chosen(message[oneof] as Choice, name);
  if (value === undefined) return;
  if (map) {
    for (const [key, each] of Object.entries(value as Values)) {
      writer.tag(number, LENGTH_DELIMITED).fork();
      writeValue(writer.tag(1, LENGTH_DELIMITED).string(key).tag(2, wireType), kind, each);
      writer.join();
    }
  } else if (!repeated) {
    if (optional || oneof !== undefined || !isDefault(field, value))
      writeValue(writer.tag(number, wireType), kind, value);
  } else if (wireType === LENGTH_DELIMITED) {
    for (const each of value as unknown[]) writeValue(writer.tag(number, wireType), kind, each);
  } else if ((value as unknown[]).length > 0) {
    writer.tag(number, LENGTH_DELIMITED).fork();
    for (const each of value as unknown[]) writeValue(writer, kind, each);
    writer.join();
  }
}

type Choice = { case?: string; value?: unknown } | undefined;
const chosen = (choice: Choice, name: string): unknown => (choice?.case === name ? choice.value : undefined);

const isDefault = (field: Field, value: unknown): boolean =>
  value instanceof Uint8Array ? value.length === 0 : value === defaultOf(field);

function writeValue(writer: Writer, kind: Kind, value: unknown): void {
  if (typeof kind === "string") (writer[kind] as (value: unknown) => void).call(writer, value);
  else write(kind(), value as Values, writer.fork()).join();
}

/** What a message is made of: the generated type with all fields optional. */
export type Init<T> = T extends bigint | string | number | boolean | Uint8Array
  ? T
  : T extends readonly (infer Item)[]
    ? Init<Item>[]
    : T extends object
      ? { [Key in Exclude<keyof T, "$typeName" | "$unknown">]?: Init<T[Key]> }
      : T;
