import { type ReactNode, Suspense, useEffect, useState } from "react";
import { lazyPart } from "../../lazyPart.ts";
import { Button, IconButton } from "../../ui/Button.tsx";
import { Combobox } from "../../ui/Combobox.tsx";
import { CopyButton } from "../../ui/CopyButton.tsx";
import { DateRange, type LocalInterval } from "../../ui/DateRange.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { ErrorBoundary } from "../../ui/ErrorBoundary.tsx";
import { Field, Input } from "../../ui/Field.tsx";
import { Kbd } from "../../ui/Kbd.tsx";
import { Menu } from "../../ui/Menu.tsx";
import { Popover } from "../../ui/Popover.tsx";
import { EmptyState, Skeleton, Spinner } from "../../ui/placeholders.tsx";
import { SegmentedControl } from "../../ui/SegmentedControl.tsx";
import { Select } from "../../ui/Select.tsx";
import { Tabs } from "../../ui/Tabs.tsx";
import { Tooltip } from "../../ui/Tooltip.tsx";
import { showToast } from "../../ui/toast.ts";

const Gallery = lazyPart(async () => ({ default: (await import("./Gallery.tsx")).Gallery }));

const Section = ({ title, children }: { title: string; children: ReactNode }) => (
  <section aria-label={title} className="card gap-4">
    <h2 className="text-base font-semibold">{title}</h2>
    <div className="flex flex-wrap items-start gap-3">{children}</div>
  </section>
);

const COLOURS = "page card raised sunken hover line line-strong muted ink pressed accent good warn danger".split(" ");
const SERIES = "c1 c2 c3 c4 c5 c6 c7 other".split(" ");
const FRUIT = ["Apple", "Banana", "Cherry", "Damson", "Elderberry"].map((label) => ({
  value: label.toLowerCase(),
  label,
}));

/** Every control in every state. Not linked: for development and for tests. */
export default function UiKitPage() {
  useEffect(() => {
    document.title = "UI kit · Millrace";
  }, []);
  return (
    <div className="mx-auto grid w-full max-w-6xl gap-4 lg:grid-cols-2" data-uikit>
      <Section title="Type">
        <div className="flex flex-col gap-2">
          <p className="text-2xl font-semibold tracking-tight">1,234,567.89 figure, 28 px</p>
          <p className="text-base font-semibold">Title, 16 px</p>
          <p>Body, 13 px: the quick brown fox jumps over 0123456789</p>
          <p className="text-xs text-muted">Small, 12 px: “≈” −45.2% · Łódź, Kraków, Ōsaka</p>
        </div>
      </Section>
      <Section title="Colours">
        {[...COLOURS, ...SERIES].map((name) => (
          <span key={name} className="flex w-24 flex-col gap-1 text-xs">
            <span className="h-8 rounded-md border border-line" style={{ background: `var(--${name})` }} />
            {name}
          </span>
        ))}
      </Section>
      <Buttons />
      <Choices />
      <Overlays />
      <Fields />
      <Section title="Tabs">
        <div className="w-full min-w-0">
          <Tabs
            label="Example"
            actions={() => <CopyButton text="example" />}
            tabs={["One", "Two", "Three"].map((label) => ({
              id: label,
              label,
              content: () => <p className="p-4">Content of {label.toLowerCase()}.</p>,
            }))}
          />
        </div>
      </Section>
      <States />
      <section aria-label="Charts" className="lg:col-span-2">
        <Suspense fallback={<Spinner />}>
          <Gallery />
        </Suspense>
      </section>
    </div>
  );
}

function Buttons() {
  return (
    <Section title="Buttons">
      {(["default", "primary", "quiet", "danger"] as const).map((kind) => (
        <Button key={kind} kind={kind}>
          {kind[0]?.toUpperCase() + kind.slice(1)}
        </Button>
      ))}
      <Button aria-pressed>Pressed</Button>
      <Button icon="send">With icon</Button>
      <Button disabled>Disabled</Button>
      <Button kind="primary" disabled>
        Disabled
      </Button>
      <IconButton icon="help" label="Icon button" shortcut="?" />
      <IconButton icon="pause" label="Pressed icon button" aria-pressed />
      <IconButton icon="expand" label="Disabled icon button" disabled />
      <Tooltip text="Shown on hover and on keyboard focus">
        <Button>Tooltip</Button>
      </Tooltip>
      <span>
        <Kbd>?</Kbd> <Kbd>Space</Kbd>
      </span>
    </Section>
  );
}

function Choices() {
  const [range, setRange] = useState("6h");
  const [fruit, setFruit] = useState("cherry");
  return (
    <Section title="Choices">
      <SegmentedControl
        label="Segmented control"
        value={range}
        onChange={setRange}
        options={["1h", "6h", "24h", "7d"].map((value) => ({ value, text: value }))}
      />
      <Select label="Fruit" value={fruit} options={FRUIT} onChange={setFruit} />
      <Select label="Disabled" value="apple" options={FRUIT} onChange={setFruit} disabled />
      <Combobox
        label="Fruit"
        value={fruit}
        options={() => FRUIT.map((option, index) => ({ ...option, detail: `${index + 1}` }))}
        onChange={setFruit}
        placeholder="Search"
        empty="No such fruit"
      >
        {fruit}
      </Combobox>
      <Menu
        label="Menu"
        items={[
          { label: "Copy", icon: "copy", shortcut: "c", onSelect: () => showToast({ title: "Copied" }) },
          { label: "Enlarge", icon: "expand", onSelect: () => showToast({ title: "Enlarged" }) },
          { label: "Not now", disabled: true, onSelect: () => {} },
        ]}
      />
      <Popover label="Details" className="ui-button" content={() => <p className="w-56">Details beside a button.</p>}>
        Popover
      </Popover>
    </Section>
  );
}

function Overlays() {
  const [open, setOpen] = useState<"none" | "small" | "nested" | "wide" | "long">("none");
  const close = () => setOpen("none");
  return (
    <Section title="Dialogs and toasts">
      <Button onClick={() => setOpen("small")}>Dialog</Button>
      <Button onClick={() => setOpen("wide")}>Wide dialog</Button>
      <Button onClick={() => setOpen("long")}>Long content</Button>
      <Button onClick={() => showToast({ title: "Saved", description: "The change is live." })}>Toast</Button>
      <Button onClick={() => showToast({ title: "Not saved", description: "No response.", type: "error" })}>
        Error toast
      </Button>
      {(open === "small" || open === "nested") && (
        <Dialog title="Outer dialog" onClose={close}>
          <p className="mb-4">Escape closes the innermost dialog.</p>
          <Button onClick={() => setOpen("nested")}>Open another</Button>
          {open === "nested" && (
            <Dialog title="Inner dialog" onClose={() => setOpen("small")}>
              <p>Inside.</p>
            </Dialog>
          )}
        </Dialog>
      )}
      {open === "wide" && (
        <Dialog title="Wide dialog" wide onClose={close} actions={<CopyButton text="example" />}>
          <p>Nearly as large as the window.</p>
        </Dialog>
      )}
      {open === "long" && (
        <Dialog title="Long content" onClose={close} actions={<CopyButton text="example" />}>
          <pre className="rounded-lg bg-sunken p-4 font-mono text-xs">
            {Array.from({ length: 80 }, (_, line) => `${line + 1}  ${"SELECT count() FROM events ".repeat(8)}`).join(
              "\n",
            )}
          </pre>
        </Dialog>
      )}
    </Section>
  );
}

function Fields() {
  const [interval, setInterval] = useState<LocalInterval>({ from: "2026-11-21T10:00", to: "2026-11-21T09:00" });
  return (
    <Section title="Fields">
      <div className="grid w-full gap-3 sm:grid-cols-2">
        <Field label="Name" hint="Shown as the title">
          {(control) => <Input {...control} placeholder="Placeholder" />}
        </Field>
        <Field label="Threshold" error="Enter a number above 0">
          {(control) => <Input {...control} defaultValue="-3" />}
        </Field>
        <Field label="Disabled">{(control) => <Input {...control} disabled defaultValue="Value" />}</Field>
      </div>
      <DateRange value={interval} onApply={setInterval} max="2026-12-31T00:00" />
    </Section>
  );
}

function Throws(): ReactNode {
  throw new Error("an example of an error");
}

function States() {
  return (
    <Section title="States">
      <Spinner />
      <div className="flex w-40 flex-col gap-2">
        <Skeleton className="h-7" />
        <Skeleton className="h-3 w-24" />
      </div>
      <EmptyState title="No data" action={<Button>Retry</Button>}>
        The query returned no rows.
      </EmptyState>
      <ErrorBoundary
        fallback={(error, reset) => (
          <EmptyState title="This panel could not be drawn" action={<Button onClick={reset}>Retry</Button>}>
            {error.message}
          </EmptyState>
        )}
      >
        <Throws />
      </ErrorBoundary>
    </Section>
  );
}
