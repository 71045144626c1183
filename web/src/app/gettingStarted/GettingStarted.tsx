import { type KeyboardEvent, useId, useRef, useState } from "react";
import { snippets } from "../../pages/dashboard/gettingStarted/snippets.ts";
import { CopyButton } from "../../panels/CopyButton.tsx";

/** Shown while the server has no events: snippets that send the first one. The panels replace it when an event arrives. */
export function GettingStarted({ origin }: { origin: string }) {
  const [selected, setSelected] = useState(0);
  const tabs = useRef<HTMLDivElement>(null);
  const id = useId();
  const all = snippets(origin);
  const text = all[selected]?.text ?? "";

  function onKeyDown(event: KeyboardEvent) {
    const last = all.length - 1;
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
    tabs.current?.querySelectorAll<HTMLElement>("[role=tab]")[next]?.focus();
  }

  return (
    <section
      aria-label="Send the first event"
      className="mx-auto my-auto w-full max-w-3xl py-6 sm:pb-24"
      data-getting-started
    >
      <p className="mb-3 flex items-center gap-2.5 text-sm font-medium text-accent" role="status">
        <span className="pulse size-2.5 rounded-full bg-accent" aria-hidden="true" />
        Waiting for the first event
      </p>
      <h2 className="text-3xl font-bold tracking-tight sm:text-5xl">Send the first event</h2>
      <p className="mt-3 mb-7 max-w-2xl text-base text-muted sm:text-lg">
        This server is ready and has no events yet. Run one of these snippets. The panels appear here within seconds,
        without a reload.
      </p>
      <div className="card p-0! overflow-hidden">
        <div className="flex flex-wrap items-center gap-1 border-b border-line p-2">
          <div ref={tabs} role="tablist" aria-label="Snippets" className="flex flex-1 flex-wrap gap-1">
            {all.map(({ id: name, label }, index) => (
              <button
                key={name}
                id={`${id}tab${index}`}
                type="button"
                role="tab"
                className="segment"
                aria-selected={index === selected}
                aria-controls={`${id}panel`}
                tabIndex={index === selected ? 0 : -1}
                onClick={() => setSelected(index)}
                onKeyDown={onKeyDown}
              >
                {label}
              </button>
            ))}
          </div>
          <CopyButton text={text} />
        </div>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard */}
        <div id={`${id}panel`} role="tabpanel" aria-labelledby={`${id}tab${selected}`} tabIndex={0}>
          <pre className="overflow-x-auto p-5 font-mono text-[0.8125rem] leading-relaxed">
            <code>{text}</code>
          </pre>
        </div>
      </div>
      <p className="mt-5 text-sm text-muted">
        The built-in panels use <code>signup_started</code>, <code>signup_completed</code>, <code>feature_used</code>,{" "}
        <code>error_occurred</code> and <code>page_view</code>; every event with a <code>session_id</code> counts
        towards active users.
      </p>
    </section>
  );
}
