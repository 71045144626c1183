#!/usr/bin/env node
// A plugin of buf: writes, for each message and method of the contracts, the table that src/api/codec.ts reads. Each table
// is a constant of its own, and refers to other tables by functions: a bundle has only those that it needs, and messages may
// contain themselves.
import { ScalarType } from "@bufbuild/protobuf";
import { createEcmaScriptPlugin, runNodeJs } from "@bufbuild/protoplugin";

const SCALARS = ["string", "bytes", "bool", "int32", "uint32", "int64", "uint64", "double"];
/** protobuf-es has types of its own for these. The page neither sends nor reads them. */
const LEFT_OUT = new Set(["google.protobuf.Struct"]);

const constant = (name) => name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toUpperCase();
const tableOf = (message) =>
  constant(message.parent ? `${message.parent.name}_${message.name}` : message.name).replaceAll("__", "_");
const fileOf = (file) => `${file.name}_codec.ts`;

function* messagesOf(parent) {
  for (const message of parent.messages ?? parent.nestedMessages) {
    if (message.mapEntry) continue;
    yield message;
    yield* messagesOf(message);
  }
}

function scalar(type, field) {
  const name = ScalarType[type].toLowerCase();
  if (!SCALARS.includes(name)) throw new Error(`${field}: src/api/codec.ts does not know ${name}`);
  return name;
}

/** What the field holds: JSON, or the table of a message. */
function kindOf(field) {
  if (field.message) return field.message;
  return field.enum ? "int32" : scalar(field.scalar, field);
}

function howOf(field) {
  if (field.fieldKind === "list") return "repeated";
  if (field.fieldKind === "map") {
    if (field.mapKey !== ScalarType.STRING) throw new Error(`${field}: src/api/codec.ts knows texts as keys only`);
    return "map";
  }
  if (field.oneof) return `oneof ${field.oneof.localName}`;
  return field.proto.proto3Optional && !field.message ? "optional" : undefined;
}

const plugin = createEcmaScriptPlugin({
  name: "protoc-gen-codec",
  version: "v1",
  generateTs(schema) {
    const used = new Set(schema.files);
    for (const file of schema.files) for (const each of file.dependencies) used.add(each);
    for (const file of used) {
      const messages = [...messagesOf(file)].filter(({ typeName }) => !LEFT_OUT.has(typeName));
      // Of Google's files, only the plain ones are used.
      if (file.proto.package === "google.protobuf" && !/(timestamp|duration)$/.test(file.name)) continue;
      writeFile(schema, file, messages);
    }
  },
});

function writeFile(schema, file, messages) {
  const f = schema.generateFile(fileOf(file));
  const names = new Set();
  const declare = (name) => {
    if (names.has(name)) throw new Error(`${file.name}: two tables are called ${name}`);
    names.add(name);
    return name;
  };
  const table = (message) =>
    message.file === file ? tableOf(message) : f.import(tableOf(message), `./${fileOf(message.file)}`);
  f.print("// Written by scripts/protoc-gen-codec.mjs.");
  f.print();
  f.print(`import { type Schema, schema } from "../../../api/codec.ts";`);
  const streams = file.services.some(({ methods }) => methods.length > 0);
  if (streams) f.print(`import type { Method } from "../../../api/grpcWeb.ts";`);
  for (const message of messages) {
    const name = declare(tableOf(message));
    f.print();
    f.print(["export const ", name, ": Schema<"], f.importShape(message).toTypeOnly(), "> = /*#__PURE__*/ schema({");
    for (const field of message.fields) {
      if (field.message && LEFT_OUT.has(field.message.typeName)) continue;
      const kind = kindOf(field);
      const how = howOf(field);
      f.print(
        `  ${field.number}: [${JSON.stringify(field.localName)}, `,
        typeof kind === "string" ? JSON.stringify(kind) : ["() => ", table(kind)],
        how === undefined ? "]," : `, ${JSON.stringify(how)}],`,
      );
    }
    f.print("});");
  }
  for (const service of file.services) {
    for (const method of service.methods) {
      // Browsers cannot send streams.
      if (method.methodKind !== "unary" && method.methodKind !== "server_streaming") continue;
      const short = constant(method.name);
      // Health's methods have the names of any service's.
      const name = declare(short.includes("_") ? short : `${constant(service.name.replace(/Service$/, ""))}_${short}`);
      const kind = method.methodKind === "unary" ? "unary" : "stream";
      f.print();
      f.print(
        ["export const ", name, ": Method<"],
        f.importShape(method.input).toTypeOnly(),
        ", ",
        f.importShape(method.output).toTypeOnly(),
        `, "${kind}"> = {`,
      );
      f.print(`  path: ${JSON.stringify(`${service.typeName}/${method.name}`)},`);
      f.print("  request: ", table(method.input), ",");
      f.print("  response: ", table(method.output), ",");
      f.print(`  kind: "${kind}",`);
      f.print("};");
    }
  }
}

runNodeJs(plugin);
