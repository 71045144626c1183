// Protobuf in binary, driven by tables. The generated schemas carry descriptors of all messages, and code for JSON and
// reflection: more than all the rest of the worker.

import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

type Scalar = "string" | "bytes" | "bool" | "int32" | "uint32" | "int64" | "uint64" | "double";
export type Kind = Scalar | Schema<unknown>;

export interface Field {
  name: string;
  kind: Kind;
  repeated?: boolean;
  /** Absent is not the same as the default. */
  optional?: boolean;
  /** Name of the oneof that the field belongs to. */
  oneof?: string;
}

/** By field number. A number is a plain enum value. `T` is the generated type, without `$typeName`. */
export interface Schema<T> {
  readonly fields: ReadonlyMap<number, Field>;
  /** Only for the compiler. */
  readonly type?: T;
}

type FieldOf = Kind | Omit<Field, "name">;

/** Each field: name in the generated type, and kind. */
export function schema<T>(fields: Record<number, readonly [name: string, field: FieldOf]>) {
  const table = new Map<number, Field>();
  for (const [number, [name, field]] of Object.entries(fields)) {
    const isKind = typeof field === "string" || "fields" in field;
    table.set(Number(number), isKind ? { name, kind: field } : { name, ...field });
  }
  return { fields: table } as Schema<T>;
}

export const repeated = (kind: Kind): FieldOf => ({ kind, repeated: true });
export const optional = (kind: Kind): FieldOf => ({ kind, optional: true });
export const oneof = (group: string, kind: Kind): FieldOf => ({ kind, oneof: group });

type Values = Record<string, unknown>;

function defaultOf({ kind, repeated, optional }: Field): unknown {
  if (repeated) return [];
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
export const decode = <T>(type: Schema<T>, bytes: Uint8Array): T => read(type, new BinaryReader(bytes)) as T;

function read({ fields }: Schema<unknown>, reader: BinaryReader): Values {
  const message: Values = {};
  for (const field of fields.values()) {
    message[field.oneof ?? field.name] = field.oneof === undefined ? defaultOf(field) : { case: undefined };
  }
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const field = fields.get(number);
    if (!field) reader.skip(wireType, number);
    else if (field.oneof !== undefined) message[field.oneof] = { case: field.name, value: readValue(field, reader) };
    else if (!field.repeated) message[field.name] = readValue(field, reader);
    else readItems(field, reader, wireType, message[field.name] as unknown[]);
  }
  return message;
}

function readValue({ kind }: Field, reader: BinaryReader): unknown {
  return typeof kind === "string" ? reader[kind]() : read(kind, new BinaryReader(reader.bytes()));
}

/** Numbers are packed: all in one field. */
function readItems(field: Field, reader: BinaryReader, wireType: WireType, items: unknown[]): void {
  const packed = wireType === WireType.LengthDelimited && wireTypeOf(field.kind) !== WireType.LengthDelimited;
  if (!packed) {
    items.push(readValue(field, reader));
    return;
  }
  for (const end = reader.uint32() + reader.pos; reader.pos < end; ) items.push(readValue(field, reader));
}

function wireTypeOf(kind: Kind): WireType {
  if (kind === "double") return WireType.Bit64;
  return typeof kind !== "string" || kind === "string" || kind === "bytes" ? WireType.LengthDelimited : WireType.Varint;
}

/** Absent fields are as good as default values. Repeated numbers are not packed: requests have none. */
export function encode<T>(type: Schema<T>, message: Init<T>): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter();
  for (const [number, field] of type.fields) {
    for (const value of valuesOf(field, message as Values)) writeValue(writer, number, field.kind, value);
  }
  return writer.finish() as Uint8Array<ArrayBuffer>;
}

function valuesOf({ name, repeated, optional, oneof, kind }: Field, message: Values): unknown[] {
  if (oneof !== undefined) {
    const chosen = message[oneof] as { case?: string; value?: unknown } | undefined;
    return chosen?.case === name ? [chosen.value] : [];
  }
  const value = message[name];
  if (repeated) return (value as unknown[] | undefined) ?? [];
  const absent = value === undefined || (!optional && value === defaultOf({ name, kind }));
  return absent ? [] : [value];
}

function writeValue(writer: BinaryWriter, number: number, kind: Kind, value: unknown): void {
  writer.tag(number, wireTypeOf(kind));
  if (typeof kind === "string") (writer[kind] as (value: unknown) => void).call(writer, value);
  else writer.bytes(encode(kind, value as Init<unknown>));
}

/** What a message is made of: the generated type with all fields optional. */
export type Init<T> = T extends bigint | string | number | boolean | Uint8Array
  ? T
  : T extends readonly (infer Item)[]
    ? Init<Item>[]
    : T extends object
      ? { [Key in Exclude<keyof T, "$typeName" | "$unknown">]?: Init<T[Key]> }
      : T;
