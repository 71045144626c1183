import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { StrictMode, useState } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import { Button, IconButton } from "./Button.tsx";
import { checkInterval, DateRange } from "./DateRange.tsx";
import { Dialog } from "./Dialog.tsx";
import { ErrorBoundary } from "./ErrorBoundary.tsx";
import { Field, Input } from "./Field.tsx";
import { Menu } from "./Menu.tsx";
import { Popover } from "./Popover.tsx";
import { Select } from "./Select.tsx";
import { Tabs } from "./Tabs.tsx";
import { Toaster } from "./Toaster.tsx";
import { showToast } from "./toast.ts";

// jsdom has no pointer events.
window.PointerEvent ??= class extends MouseEvent {} as typeof PointerEvent;

beforeEach(() => localStorage.clear());
const show = (element: React.ReactNode) => {
  render(<StrictMode>{element}</StrictMode>);
  return userEvent.setup();
};
const gone = (role: string) => waitFor(() => expect(screen.queryByRole(role)).toBeNull());

test("a menu opens with the keyboard, moves with the arrows, selects once and returns the focus", async () => {
  const copy = vi.fn();
  const user = show(
    <Menu
      label="More"
      items={[
        { label: "Enlarge", onSelect: () => {} },
        { label: "Copy", onSelect: copy },
      ]}
    />,
  );
  const button = screen.getByRole("button", { name: "More" });
  await user.tab();
  await user.keyboard("{Enter}");
  await screen.findByRole("menu", { name: "More" });
  expect(button.getAttribute("aria-expanded")).toBe("true");
  await user.keyboard("{ArrowDown}{ArrowDown}");
  await waitFor(() => expect(document.activeElement?.textContent).toBe("Copy"));
  await user.keyboard("{Enter}");
  await gone("menu");
  expect(copy).toHaveBeenCalledTimes(1);
  await waitFor(() => expect(document.activeElement).toBe(button));
});

test("a menu opens and closes with its button, and closes with Escape and outside", async () => {
  const user = show(
    <>
      <Menu label="More" items={[{ label: "Copy", onSelect: () => {} }]} />
      <p>Outside</p>
    </>,
  );
  const button = screen.getByRole("button", { name: "More" });
  await user.click(button);
  await screen.findByRole("menu");
  await user.click(button);
  await gone("menu");
  await user.click(button);
  await screen.findByRole("menu");
  await user.keyboard("{Escape}");
  await gone("menu");
  await user.keyboard("{ArrowDown}");
  await screen.findByRole("menu");
  await user.click(screen.getByText("Outside"));
  await gone("menu");
});

test("a menu inside a dialog works, and Escape closes the menu before the dialog", async () => {
  const onClose = vi.fn();
  const user = show(
    <Dialog
      title="Outer"
      onClose={onClose}
      actions={<Menu label="More" items={[{ label: "Copy", onSelect: () => {} }]} />}
    >
      Text
    </Dialog>,
  );
  await user.click(await screen.findByRole("button", { name: "More" }));
  await screen.findByRole("menuitem", { name: "Copy" });
  // Keys reach the menu once it has the focus.
  await waitFor(() => expect(screen.getByRole("menu").contains(document.activeElement)).toBe(true));
  await user.keyboard("{Escape}");
  await gone("menu");
  expect(onClose).not.toHaveBeenCalled();
  await user.keyboard("{Escape}");
  expect(onClose).toHaveBeenCalledTimes(1);
});

function Nested() {
  const [outer, setOuter] = useState(false);
  const [inner, setInner] = useState(false);
  return (
    <>
      <Button onClick={() => setOuter(true)}>Open</Button>
      {outer && (
        <Dialog title="Outer" onClose={() => setOuter(false)}>
          <Button onClick={() => setInner(true)}>Open inner</Button>
          {inner && (
            <Dialog title="Inner" onClose={() => setInner(false)}>
              Inside
            </Dialog>
          )}
        </Dialog>
      )}
    </>
  );
}

test("Escape closes only the innermost dialog, and the focus returns", async () => {
  const user = show(<Nested />);
  await user.click(screen.getByRole("button", { name: "Open" }));
  await user.click(await screen.findByRole("button", { name: "Open inner" }));
  expect(await screen.findByRole("dialog", { name: "Inner" })).toBeTruthy();
  await user.keyboard("{Escape}");
  await waitFor(() => expect(screen.queryByText("Inside")).toBeNull());
  expect(screen.getByRole("dialog", { name: "Outer" })).toBeTruthy();
  await user.keyboard("{Escape}");
  await gone("dialog");
  await waitFor(() => expect(document.activeElement).toBe(screen.getByRole("button", { name: "Open" })));
});

test("a dialog starts with the focus on itself, so that its content is not scrolled", async () => {
  show(
    <Dialog title="SQL" onClose={() => {}} actions={<Button>Copy</Button>}>
      <pre>SELECT 1</pre>
    </Dialog>,
  );
  const dialog = await screen.findByRole("dialog", { name: "SQL" });
  await waitFor(() => expect(document.activeElement).toBe(dialog));
});

test("a popover is labelled and returns the focus", async () => {
  const user = show(
    <Popover label="Details" content={() => "Since 10:00"}>
      Live
    </Popover>,
  );
  await user.click(screen.getByRole("button", { name: "Live" }));
  expect((await screen.findByRole("dialog", { name: "Details" })).textContent).toBe("Since 10:00");
  await user.keyboard("{Escape}");
  await gone("dialog");
  expect(document.activeElement).toBe(screen.getByRole("button", { name: "Live" }));
});

test("a select changes its value with the keyboard", async () => {
  const onChange = vi.fn();
  const user = show(
    <Select
      label="Fruit"
      value="a"
      onChange={onChange}
      options={[
        { value: "a", label: "Apple" },
        { value: "b", label: "Banana" },
      ]}
    />,
  );
  await user.tab();
  await user.keyboard("{Enter}");
  await screen.findByRole("option", { name: "Banana" });
  await user.click(screen.getByRole("option", { name: "Banana" }));
  await waitFor(() => expect(onChange).toHaveBeenCalledWith("b"));
});

test("tabs are one stop of the focus order and follow the arrows", async () => {
  const user = show(
    <Tabs
      label="Snippets"
      tabs={["One", "Two", "Three"].map((label) => ({ id: label, label, content: () => `Content ${label}` }))}
    />,
  );
  await user.tab();
  await user.keyboard("{ArrowLeft}");
  expect(screen.getByRole("tabpanel", { name: "Three" }).textContent).toBe("Content Three");
  await user.keyboard("{Home}");
  expect(document.activeElement?.textContent).toBe("One");
});

test("a field ties its label and error to the control", () => {
  show(
    <Field label="Threshold" error="Enter a number">
      {(control) => <Input {...control} />}
    </Field>,
  );
  const input = screen.getByLabelText("Threshold");
  expect(input.getAttribute("aria-invalid")).toBe("true");
  expect(document.getElementById(input.getAttribute("aria-describedby") ?? "")?.textContent).toBe("Enter a number");
});

test.each([
  [{ from: "", to: "2026-11-21T10:00" }, { from: "Enter a start" }],
  [{ from: "2026-11-21T10:00", to: "2026-11-21T10:00" }, { to: "The end must be after the start" }],
  [{ from: "2026-10-01T00:00", to: "2026-11-21T10:00" }, { from: "The start is before the oldest data" }],
  [{ from: "2026-11-20T00:00", to: "2026-11-23T10:00" }, { to: "The end is in the future" }],
  [{ from: "2026-11-20T00:00", to: "2026-11-21T10:00" }, {}],
])("the interval %o has the errors %o", (interval, errors) => {
  expect(checkInterval(interval, "2026-11-01T00:00", "2026-11-22T00:00")).toEqual(errors);
});

test("a date range is applied only if it is valid", async () => {
  const onApply = vi.fn();
  const user = show(<DateRange value={{ from: "2026-11-21T10:00", to: "2026-11-21T09:00" }} onApply={onApply} />);
  await user.click(screen.getByRole("button", { name: "Apply" }));
  expect(onApply).not.toHaveBeenCalled();
  expect(screen.getByRole("alert").textContent).toBe("The end must be after the start");
});

test("a toast that is raised before its code is loaded is shown, and can be dismissed", async () => {
  const user = show(<Toaster />);
  showToast({ title: "Saved", description: "The change is live." });
  const toast = (await screen.findAllByText("Saved"))[0] as HTMLElement;
  const root = toast.closest(".ui-toast") as HTMLElement;
  await user.click(within(root).getByLabelText("Dismiss"));
  await waitFor(() => expect(document.querySelector(".ui-toast")).toBeNull());
});

test("an error boundary shows the error, and renders again after new data", async () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  const Card = ({ value }: { value: number }) => {
    if (value < 0) throw new Error("negative");
    return <p>{value}</p>;
  };
  const tree = (value: number) => (
    <ErrorBoundary resetKey={value} fallback={(error) => <p>{error.message}</p>}>
      <Card value={value} />
    </ErrorBoundary>
  );
  const { rerender } = render(tree(-1));
  expect(screen.getByText("negative")).toBeTruthy();
  rerender(tree(5));
  expect(screen.getByText("5")).toBeTruthy();
});

test("an icon button is named", () => {
  show(<IconButton icon="help" label="Help" shortcut="?" />);
  expect(screen.getByRole("button", { name: "Help" })).toBeTruthy();
});
