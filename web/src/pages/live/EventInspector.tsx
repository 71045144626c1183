import { Link, useSearch } from "@tanstack/react-router";
import { type ReactNode, useEffect, useMemo, useSyncExternalStore } from "react";
import { copyToClipboard } from "../../lib/download.ts";
import { formatDuration } from "../../lib/format.ts";
import { useSession } from "../../shell/useSession.ts";
import { type Search, viewSearch } from "../../shell/view.ts";
import { Button, IconButton } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { showToast } from "../../ui/toast.ts";
import type { Condition } from "./conditions.ts";
import { colorOf, eventCurl, eventJson, isFault, type LiveEvent } from "./events.ts";
import { JsonView } from "./JsonView.tsx";
import { jsonLines } from "./json.ts";
import { words } from "./strings.ts";
import { delayWords, fullEventTime } from "./texts.ts";

const WIDE = "(min-width: 64rem)";
const subscribeWide = (listener: () => void) => {
  const query = window.matchMedia(WIDE);
  query.addEventListener("change", listener);
  return () => query.removeEventListener("change", listener);
};

interface InspectorProps {
  title: string;
  heading?: ReactNode;
  onClose: () => void;
  children: ReactNode;
}

/** Details beside a list, or in a dialog where there is no space beside it. */
export function Inspector({ title, heading, onClose, children }: InspectorProps) {
  const isWide = useSyncExternalStore(subscribeWide, () => window.matchMedia(WIDE).matches);
  useEffect(() => {
    if (!isWide) return;
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      if (!document.querySelector("[role=dialog], [role=menu], [role=listbox]")) onClose();
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [isWide, onClose]);
  if (!isWide) {
    return (
      <Dialog title={title} onClose={onClose}>
        <div className="flex flex-col gap-3" data-inspector="">
          {children}
        </div>
      </Dialog>
    );
  }
  return (
    <aside className="inspector" aria-label={title} data-inspector="">
      <header>
        <h2>{heading ?? title}</h2>
        <IconButton icon="close" label={words.event.close} shortcut="Esc" onClick={onClose} />
      </header>
      <div className="inspector-body">{children}</div>
    </aside>
  );
}

interface Props {
  event: LiveEvent;
  zone: string;
  /** How long it took from the server to this page, in milliseconds. Undefined if it did not come live. */
  latencyMs?: number;
  onFilter?: (condition: Condition) => void;
  onClose: () => void;
  /** Not on the person's own page. */
  showPerson?: boolean;
}

export function EventInspector({ event, zone, latencyMs, onFilter, onClose, showPerson = true }: Props) {
  const search = useSearch({ strict: false }) as Search;
  const needsKey = useSession()?.required ?? false;
  const json = useMemo(() => eventJson(event), [event]);
  const person = event.user || event.session;
  const copy = async (text: string) => {
    const copied = await copyToClipboard(text);
    showToast({ title: copied ? words.event.copied : words.event.copyFailed, type: copied ? undefined : "error" });
  };
  const heading = (
    <span className="live-event">
      <span className="live-mark" style={{ "--mark": `var(${colorOf(event.name)})` } as React.CSSProperties} />
      <span className="truncate">{event.name}</span>
      {isFault(event.name) && <span className="live-fault text-xs font-medium">{words.event.fault}</span>}
    </span>
  );
  return (
    <Inspector title={event.name} heading={heading} onClose={onClose}>
      <p className="text-muted">
        <span className="text-ink">{fullEventTime(event.at, zone, Date.now())}</span>
        {event.receivedAt > 0 && `, ${delayWords(event.at, event.receivedAt)}`}
        {latencyMs !== undefined && `, ${words.event.arrived(formatDuration(Math.max(0, latencyMs)))}`}
        {event.id === "" && `. ${words.event.noId}`}
      </p>
      <div className="flex flex-wrap gap-2">
        <Button icon="copy" onClick={() => copy(printed(json))}>
          {words.event.copyJson}
        </Button>
        <Button onClick={() => copy(eventCurl(event, document.baseURI.replace(/\/$/, ""), needsKey))}>
          {words.event.copyCurl}
        </Button>
        {showPerson && person !== "" && (
          <Link to="/people/$id" params={{ id: person }} search={viewSearch(search) as never} className="ui-button">
            {words.event.person}
          </Link>
        )}
      </div>
      <JsonView json={json} label={onFilter ? words.event.json : words.event.label} onFilter={onFilter} />
    </Inspector>
  );
}

/** As it is shown, with every digit. */
const printed = (json: string): string =>
  jsonLines(json)
    .map(
      ({ indent, tokens }) =>
        `${"  ".repeat(indent)}${tokens.map(({ text }) => (text === ":" ? ": " : text)).join("")}`,
    )
    .join("\n");
