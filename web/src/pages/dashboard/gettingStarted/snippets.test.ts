import { expect, test } from "vitest";
import { snippets } from "./snippets.ts";

const HTTP = "http://10.1.2.3:8080";
const HTTPS = "https://events.example.com";

test("curl is first, since almost every machine has it", () => {
  expect(snippets(HTTP).map(({ id }) => id)).toEqual(["curl", "python", "node", "go", "grpcurl", "rust"]);
});

test("Rust is left out where TLS is needed", () => {
  expect(snippets(HTTPS).map(({ id }) => id)).toEqual(["curl", "python", "node", "go", "grpcurl"]);
});

test.each([...snippets(HTTP), ...snippets(HTTPS)])("$id: the text has the server's address and the note", (snippet) => {
  expect(snippet.text).toMatch(/10\.1\.2\.3:8080|events\.example\.com/);
  const comments = snippet.text.split("\n").filter((line) => /^(#|\/\/) /.test(line));
  expect(comments.map((line) => line.replace(/^\S+ /, ""))).toEqual([snippet.note]);
});

test.each(snippets(HTTP))("$id: an interactive shell takes the text as it is", ({ text }) => {
  // It completes at a tab, and replaces "!name" from its history, also in a here-document.
  expect(text).not.toMatch(/\t|!(?!=)/);
  // Some shells run a comment as a command: words only, so that this has no effect but a message.
  const [first = ""] = text.split("\n");
  if (first.startsWith("#")) expect(first).toMatch(/^# [\w ./:@-]+$/);
});

test("grpcurl uses TLS for an https origin", () => {
  const text = (origin: string) => snippets(origin).find(({ id }) => id === "grpcurl")?.text;
  expect(text(HTTP)).toContain("-plaintext");
  expect(text(HTTPS)).not.toContain("-plaintext");
  expect(text(HTTPS)).toContain("events.example.com:443");
});
