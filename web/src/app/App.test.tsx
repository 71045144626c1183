import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import { ClientProvider } from "../api/client.tsx";
import { FakeServer, usersUpdate } from "../live/fakeServer.ts";
import { App } from "./App.tsx";

let server: FakeServer;

beforeEach(() => {
  server = new FakeServer();
  window.history.replaceState(null, "", "/");
  localStorage.clear();
  delete document.documentElement.dataset.theme;
});

function renderApp() {
  render(
    <ClientProvider transport={server.transport}>
      <App />
    </ClientProvider>,
  );
  return userEvent.setup();
}

const streamOpened = () => waitFor(() => expect(server.streams.length).toBeGreaterThan(0));
const panel = (name: string) => screen.getByRole("region", { name });

test("panels load, then show their values, and the document title follows", async () => {
  renderApp();
  expect(within(panel("Active users")).getByRole("status")).toBeTruthy();
  await streamOpened();
  server.stream.push(usersUpdate(1412n));
  await waitFor(() => expect(screen.getByText("1,412")).toBeTruthy());
  expect(document.title).toBe("1,412 active · Millrace");
});

test("an empty panel names the events that it needs", async () => {
  renderApp();
  await streamOpened();
  server.stream.push({ id: "top_features", panel: "top_features", value: { case: "topFeatures", value: {} } });
  expect(await screen.findByText("No data in this range")).toBeTruthy();
  expect(screen.getByText(/feature_used/)).toBeTruthy();
});

test("a failed panel shows the reason and can be retried", async () => {
  server.up = false;
  const user = renderApp();
  expect(await screen.findByText("Server unreachable")).toBeTruthy();
  const card = within(panel("Active users"));
  expect(card.getByText("connection refused")).toBeTruthy();
  server.up = true;
  server.activeUsers = 5n;
  await user.click(card.getByRole("button", { name: "Try again" }));
  expect(await card.findByText("5")).toBeTruthy();
});

test("stale values stay visible with the reason", async () => {
  renderApp();
  await streamOpened();
  server.stream.push(usersUpdate(77n));
  server.stream.push({ ...usersUpdate(77n), staleReason: "ClickHouse is unreachable" });
  expect(await screen.findByText(/Stale since.*ClickHouse is unreachable/)).toBeTruthy();
  expect(screen.getByText("77")).toBeTruthy();
  expect(document.querySelector("[data-status]")?.getAttribute("data-status")).toBe("yellow");
  expect(screen.getByText("Active users delayed")).toBeTruthy();
});

test("a server without events shows the snippets until the first event arrives", async () => {
  server.events = 0n;
  const user = renderApp();
  expect(await screen.findByRole("heading", { name: "Send the first event" })).toBeTruthy();
  expect(screen.getByRole("tabpanel").textContent).toContain(`curl ${window.location.origin}/events`);
  await user.click(screen.getByRole("tab", { name: "curl" }));
  await user.keyboard("{ArrowRight}");
  expect(screen.getByRole("tabpanel").textContent).toContain("python3");
  await waitFor(() => expect(server.streams.length).toBeGreaterThan(0));
  server.stream.push(usersUpdate(1n));
  await waitFor(() => expect(panel("Active users")).toBeTruthy());
  expect(screen.queryByText("Send the first event")).toBeNull();
});

test("keyboard shortcuts change the range and time zone in the URL", async () => {
  const user = renderApp();
  expect(window.location.search).toBe("?range=1h&zone=Europe/Madrid");
  await user.keyboard("3z");
  expect(window.location.search).toBe("?range=24h&zone=utc");
  expect(screen.getByRole("button", { name: "24h" }).getAttribute("aria-pressed")).toBe("true");
});

test("the theme is switched and stored", async () => {
  const user = renderApp();
  await user.keyboard("t");
  expect(document.documentElement.dataset.theme).toBe("light");
  expect(localStorage.getItem("millrace.theme")).toBe("light");
});

test("the help lists the keyboard shortcuts", async () => {
  const user = renderApp();
  await user.keyboard("?");
  expect(screen.getByRole("dialog", { name: "Keyboard shortcuts" }).textContent).toContain("Wall mode");
});

test("a panel's menu supports arrow keys, the table view and the SQL", async () => {
  const user = renderApp();
  await streamOpened();
  server.stream.push(usersUpdate(3n));
  const card = within(panel("Active users"));
  await screen.findByText("3");
  const button = card.getByRole("button", { name: "Active users: more actions" });
  button.focus();
  await user.keyboard("{Enter}{ArrowDown}");
  expect(document.activeElement?.textContent).toBe("Show as table");
  await user.keyboard("{Enter}");
  expect(card.getByRole("table")).toBeTruthy();
  expect(document.activeElement).toBe(button);

  await user.click(button);
  await user.click(card.getByRole("menuitem", { name: "Show SQL" }));
  expect(screen.getByRole("dialog").textContent).toContain("SELECT 'active_users'");
  await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Close" }));

  await user.click(button);
  await user.keyboard("{Escape}");
  expect(card.queryByRole("menu")).toBeNull();
  expect(document.activeElement).toBe(button);
});

test("an enlarged panel is in the URL and the Back button closes it", async () => {
  const user = renderApp();
  await streamOpened();
  server.stream.push(usersUpdate(3n));
  await screen.findByText("3");
  await user.click(screen.getByRole("button", { name: "Active users: more actions" }));
  await user.click(screen.getByRole("menuitem", { name: "Enlarge" }));
  expect(window.location.search).toContain("panel=active_users");
  expect(screen.getByRole("dialog", { name: "Active users" })).toBeTruthy();
  window.history.back();
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
});

test("broken panel files are listed with file, line and reason", async () => {
  server.panelList = { broken: [{ file: "orders.sql", line: 3, message: "chart: pie is not known" }] };
  renderApp();
  const notice = await screen.findByRole("region", { name: "Broken panel files" });
  expect(notice.textContent).toContain("orders.sql:3");
  expect(notice.textContent).toContain("pie is not known");
});
