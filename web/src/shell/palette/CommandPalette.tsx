// Everything that can be reached, by a few letters. A combobox with a list box, as in the ARIA patterns.

import { useNavigate, useSearch } from "@tanstack/react-router";
import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from "react";
import { LIST_DASHBOARDS } from "../../api/methods.ts";
import { useCall } from "../../live/useCall.ts";
import { Icon } from "../../ui/icons.tsx";
import { Kbd } from "../../ui/Kbd.tsx";
import { SearchDialog } from "../../ui/SearchDialog.tsx";
import { PLACES } from "../Navigation.tsx";
import { type BarControl, useDeclared } from "../Page.tsx";
import { openRange } from "../RangeControl.tsx";
import { frameStrings } from "../strings.ts";
import { boardSearch, type Search, useView, viewSearch } from "../view.ts";
import { type Command, panelsOnPage, type Section, viewCommands } from "./commands.ts";
import { fuzzyFilter, type Match } from "./fuzzy.ts";
import { paletteStrings as words } from "./strings.ts";

interface Props {
  /** Theme, kiosk, pause and the like. */
  commands: Command[];
  onClose: () => void;
}

interface Row {
  command: Command;
  match: Match;
}

/** More would not be read, and would take time to draw. */
const MAX_ROWS = 60;
const NONE: Command[] = [];

export default function CommandPalette({ commands, onClose }: Props) {
  const [query, setQuery] = useState("");
  const [active, setActive] = useState(0);
  const [view, onView] = useView();
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const declared = useDeclared();
  const dashboards = useCall(LIST_DASHBOARDS, {});
  const [panels] = useState(() => panelsOnPage(document));
  const field = useRef<HTMLInputElement>(null);
  const id = useId();

  const go = (to: string, kept = viewSearch(search)) => void navigate({ to, search: kept as never });
  const pages: Command[] = PLACES.map(({ page, path, icon, key }) => ({
    section: "pages",
    title: words.page(page),
    icon,
    keys: `g ${key}`,
    run: () => go(path),
  }));
  const boards: Command[] =
    dashboards.data?.dashboards.map(({ name, title }) => ({
      section: "dashboards",
      title: title || name,
      detail: title ? name : undefined,
      icon: "dashboards",
      run: () => go(`/dashboards/${encodeURIComponent(name)}`, boardSearch(search)),
    })) ?? NONE;
  const uses = (control: BarControl) => declared?.uses.includes(control) ?? false;
  // The popup of the range opens when the palette has returned the focus.
  const customRange = () => requestAnimationFrame(openRange);
  // biome-ignore lint/correctness/useExhaustiveDependencies: they change only with what is listed
  const own = useMemo(() => viewCommands(view, uses, panels, onView, customRange), [view, declared, panels, onView]);
  const all = [...pages, ...boards, ...commands, ...own];
  const rows = grouped(query, all);
  const index = Math.min(active, rows.length - 1);

  useEffect(() => {
    document.getElementById(`${id}${index}`)?.scrollIntoView?.({ block: "nearest" });
  }, [id, index]);

  function run(row: Row | undefined): void {
    if (!row) return;
    onClose();
    row.command.run();
  }
  function onKeyDown(event: KeyboardEvent): void {
    const last = rows.length - 1;
    const next: Record<string, number> = {
      ArrowDown: index >= last ? 0 : index + 1,
      ArrowUp: index <= 0 ? last : index - 1,
      PageDown: Math.min(last, index + 8),
      PageUp: Math.max(0, index - 8),
    };
    const target = Object.hasOwn(next, event.key) ? next[event.key] : undefined;
    if (target !== undefined) setActive(Math.max(0, target));
    else if (event.key === "Enter" && !event.nativeEvent.isComposing) run(rows[index]);
    else return;
    event.preventDefault();
  }

  return (
    <SearchDialog title={words.title} field={field} onClose={onClose}>
      <div className="palette-field">
        <Icon name="search" className="text-muted" />
        <input
          ref={field}
          type="text"
          role="combobox"
          aria-label={frameStrings.palette}
          aria-expanded="true"
          aria-autocomplete="list"
          aria-controls={`${id}list`}
          aria-activedescendant={index >= 0 ? `${id}${index}` : undefined}
          placeholder={words.placeholder}
          value={query}
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => {
            setQuery(event.target.value);
            setActive(0);
          }}
          onKeyDown={onKeyDown}
        />
      </div>
      <div id={`${id}list`} role="listbox" aria-label={words.title} tabIndex={-1} className="palette-list">
        {rows.map((row, place) => (
          <Option
            key={`${row.command.section} ${row.command.title}`}
            id={`${id}${place}`}
            row={row}
            heading={row.command.section === rows[place - 1]?.command.section ? undefined : row.command.section}
            active={place === index}
            onHover={() => setActive(place)}
            onRun={() => run(row)}
          />
        ))}
      </div>
      <p role="status" className={rows.length === 0 ? "palette-none" : "sr-only"}>
        {rows.length === 0 ? words.none(query.trim()) : words.results(rows.length)}
      </p>
      <p className="palette-foot">
        {dashboards.failure
          ? words.dashboardsFailed(dashboards.failure.reason)
          : dashboards.data
            ? words.keys
            : words.dashboardsLoading}
      </p>
    </SearchDialog>
  );
}

/** Without a query in the order of the sections, else the best section first, each with its rows together. */
function grouped(query: string, commands: Command[]): Row[] {
  const searched = query.trim() !== "";
  const offered = commands.filter(({ searchOnly }) => searched || !searchOnly);
  const found = fuzzyFilter(query, offered, ({ title, detail }) => (detail ? `${title} ${detail}` : title))
    .slice(0, MAX_ROWS)
    .map(({ item, match }) => ({ command: item, match }));
  const sections = new Map<Section, Row[]>();
  for (const row of found) sections.set(row.command.section, [...(sections.get(row.command.section) ?? []), row]);
  return [...sections.values()].flat();
}

interface OptionProps {
  id: string;
  row: Row;
  heading: Section | undefined;
  active: boolean;
  onHover: () => void;
  onRun: () => void;
}

function Option({ id, row: { command, match }, heading, active, onHover, onRun }: OptionProps) {
  return (
    <>
      {heading && (
        <div className="palette-heading" aria-hidden="true">
          {words.sections[heading]}
        </div>
      )}
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: the field has the focus and the keys */}
      <div
        id={id}
        role="option"
        tabIndex={-1}
        aria-selected={active}
        className="ui-option"
        data-highlighted={active || undefined}
        onPointerMove={onHover}
        onPointerDown={(event) => event.preventDefault()}
        onClick={onRun}
      >
        {command.icon && <Icon name={command.icon} className="text-muted" />}
        <span className="min-w-0 truncate">
          <Marked text={command.title} positions={match.positions} />
        </span>
        {command.detail && <span className="truncate text-xs text-muted">{command.detail}</span>}
        <span className="flex-1" />
        {command.current && <Icon name="check" />}
        {command.keys && <Kbd>{command.keys}</Kbd>}
      </div>
    </>
  );
}

/** The letters that were found. */
function Marked({ text, positions }: { text: string; positions: number[] }) {
  if (positions.length === 0) return text;
  const found = new Set(positions);
  return [...text.matchAll(/[\s\S]/g)].map(({ index, 0: letter }) =>
    found.has(index) ? <b key={index}>{letter}</b> : letter,
  );
}
