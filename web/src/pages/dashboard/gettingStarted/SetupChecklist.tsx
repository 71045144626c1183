import { useEffect, useMemo, useState } from "react";
import type { Frame } from "../../../frame/frame.ts";
import type { PanelInfo } from "../../../live/protocol.ts";
import type { PanelQuery } from "../../../query/query.ts";
import { useLastFrame } from "../../../shell/live.ts";
import { strings } from "../../../strings.ts";
import { IconButton } from "../../../ui/Button.tsx";
import { Icon } from "../../../ui/icons.tsx";
import { startStrings as words } from "./strings.ts";

interface Props {
  panels: PanelInfo[];
  range: PanelQuery["range"];
  zone: string;
  /** Called when all are seen, and when the list is dismissed. */
  onDone?: () => void;
  dismissible?: boolean;
}

/** Which panels have had data so far, and which events the others need. */
export default function SetupChecklist({ panels, range, zone, onDone, dismissible }: Props) {
  const listed = useMemo(() => panels.filter(({ events }) => events.length > 0), [panels]);
  const [seen, setSeen] = useState<ReadonlySet<string>>(new Set());
  const done = listed.length > 0 && listed.every(({ name }) => seen.has(name));
  useEffect(() => {
    if (done) onDone?.();
  }, [done, onDone]);
  if (listed.length === 0) return null;
  return (
    <section aria-label={words.progress} className="card mb-4" data-checklist={`${seen.size}/${listed.length}`}>
      <header className="mb-2 flex items-center gap-3">
        <h2 className="flex-1 font-semibold">
          {words.progress}{" "}
          <span className="font-normal text-muted">{words.progressHint(seen.size, listed.length)}</span>
        </h2>
        {dismissible && <IconButton icon="close" label={strings.dismiss} onClick={() => onDone?.()} />}
      </header>
      <ul className={`grid gap-x-6 gap-y-1.5 sm:grid-cols-2 ${dismissible ? "xl:grid-cols-4" : ""}`}>
        {listed.map((panel) => (
          <Item
            key={panel.name}
            panel={panel}
            range={range}
            zone={zone}
            seen={seen.has(panel.name)}
            onSeen={() => setSeen((names) => new Set([...names, panel.name]))}
          />
        ))}
      </ul>
    </section>
  );
}

interface ItemProps {
  panel: PanelInfo;
  range: PanelQuery["range"];
  zone: string;
  seen: boolean;
  onSeen: () => void;
}

function Item({ panel, range, zone, seen, onSeen }: ItemProps) {
  const last = useLastFrame(useMemo(() => ({ panel: panel.name, range, zone }), [panel.name, range, zone]));
  const hasData = last !== null && hasValues(last.frame);
  useEffect(() => {
    if (hasData && !seen) onSeen();
  });
  return (
    <li className="flex min-w-0 items-center gap-2" data-seen={seen}>
      <span
        className={`inline-flex size-5 flex-none items-center justify-center rounded-full ${seen ? "bg-accent text-card" : "border border-line-strong"}`}
      >
        {seen && <Icon name="check" className="size-3.5!" />}
      </span>
      <span className="truncate">
        {panel.title} <span className="sr-only">{seen ? words.seen : words.unseen}</span>
        {!seen && (
          <span className="text-xs text-muted">
            {words.needs} <code className="font-mono">{panel.events.join(", ")}</code>
          </span>
        )}
      </span>
    </li>
  );
}

/** Zero-filled buckets are rows without data. */
function hasValues(frame: Frame): boolean {
  return frame.columns.some(
    ({ role, values }) =>
      role === "measure" && values.some((value) => value !== null && value !== 0 && value !== 0n && value !== ""),
  );
}
