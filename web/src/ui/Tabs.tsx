import { type KeyboardEvent, type ReactNode, useId, useRef, useState } from "react";

export interface TabsProps {
  label: string;
  tabs: { id: string; label: string; content: () => ReactNode }[];
  /** Beside the tabs. Receives the id of the selected one. */
  actions?: (selected: string) => ReactNode;
}

/** Tabs whose arrow keys select, as in the ARIA pattern with automatic activation. */
export function Tabs({ label, tabs, actions }: TabsProps) {
  const [selected, setSelected] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const current = tabs[selected] ?? tabs[0];
  if (!current) return null;

  function onKeyDown(event: KeyboardEvent) {
    const last = tabs.length - 1;
    const targets: Record<string, number> = {
      ArrowRight: selected === last ? 0 : selected + 1,
      ArrowLeft: selected === 0 ? last : selected - 1,
      Home: 0,
      End: last,
    };
    const next = targets[event.key];
    if (next === undefined) return;
    event.preventDefault();
    setSelected(next);
    list.current?.querySelectorAll<HTMLElement>("[role=tab]")[next]?.focus();
  }

  return (
    <>
      <div className="flex items-start gap-2 border-b border-line p-2">
        <div ref={list} role="tablist" aria-label={label} className="ui-tabs flex-1">
          {tabs.map((tab, index) => (
            <button
              key={tab.id}
              id={`${id}${tab.id}`}
              type="button"
              role="tab"
              className="ui-segment"
              aria-selected={index === selected}
              aria-controls={`${id}panel`}
              tabIndex={index === selected ? 0 : -1}
              onClick={() => setSelected(index)}
              onKeyDown={onKeyDown}
            >
              {tab.label}
            </button>
          ))}
        </div>
        {actions?.(current.id)}
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard */}
      <div id={`${id}panel`} role="tabpanel" aria-labelledby={`${id}${current.id}`} tabIndex={0} className="min-w-0">
        {current.content()}
      </div>
    </>
  );
}
