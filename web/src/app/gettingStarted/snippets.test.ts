import { expect, test } from "vitest";
import { SNIPPETS } from "./snippets.ts";

test.each(SNIPPETS)("$name has the server's address", ({ text }) => {
  const host = "10.1.2.3:8080";
  expect(text({ origin: `http://${host}` })).toContain(host);
  expect(text({ origin: `http://${host}` })).not.toMatch(/authorization/i);
});

test.each(SNIPPETS)("$name sends a key where there is one", ({ text }) => {
  expect(text({ origin: "http://localhost:8080", key: "k-123" })).toMatch(/authorization.*Bearer k-123/);
});

test("grpcurl speaks TLS to a server that does", () => {
  const grpcurl = SNIPPETS[0].text;
  expect(grpcurl({ origin: "http://localhost:8080" })).toContain("-plaintext");
  expect(grpcurl({ origin: "https://events.example.com" })).not.toContain("-plaintext");
  expect(grpcurl({ origin: "https://events.example.com" })).toContain("events.example.com:443");
});
