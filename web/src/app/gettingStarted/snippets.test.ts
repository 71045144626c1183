import { expect, test } from "vitest";
import { SNIPPETS } from "./snippets.ts";

test.each(SNIPPETS)("the $name snippet contains the server's address", ({ text }) => {
  const host = "10.1.2.3:8080";
  expect(text({ origin: `http://${host}` })).toContain(host);
  expect(text({ origin: `http://${host}` })).not.toMatch(/authorization/i);
});

test.each(SNIPPETS)("the $name snippet sends the API key", ({ text }) => {
  expect(text({ origin: "http://localhost:8080", key: "k-123" })).toMatch(/authorization.*Bearer k-123/);
});

test("the grpcurl snippet uses TLS for an https origin", () => {
  const grpcurl = SNIPPETS[0].text;
  expect(grpcurl({ origin: "http://localhost:8080" })).toContain("-plaintext");
  expect(grpcurl({ origin: "https://events.example.com" })).not.toContain("-plaintext");
  expect(grpcurl({ origin: "https://events.example.com" })).toContain("events.example.com:443");
});
