import { type KeyboardEvent, useId, useRef, useState } from "react";
import { CopyButton } from "../../panels/CopyButton.tsx";
import { SNIPPETS } from "./snippets.ts";

/** What a server without any event shows: how to send the first one. The page goes live by itself when it comes. */
export function GettingStarted({ origin }: { origin: string }) {
  const [chosen, setChosen] = useState(0);
  const tabs = useRef<HTMLDivElement>(null);
  const id = useId();
  const snippet = SNIPPETS[chosen] ?? SNIPPETS[0];
  const text = snippet.text({ origin });

  function onKeyDown(event: KeyboardEvent) {
    const last = SNIPPETS.length - 1;
    const moves: Record<string, number> = {
      ArrowRight: chosen === last ? 0 : chosen + 1,
      ArrowLeft: chosen === 0 ? last : chosen - 1,
      Home: 0,
      End: last,
    };
    const next = moves[event.key];
    if (next === undefined) return;
    event.preventDefault();
    setChosen(next);
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
        This server is ready and has no events yet. Paste one of these into a terminal. The panels appear here within
        seconds, without a reload.
      </p>
      <div className="card p-0! overflow-hidden">
        <div className="flex flex-wrap items-center gap-1 border-b border-line p-2">
          <div ref={tabs} role="tablist" aria-label="Ways to send" className="flex flex-1 flex-wrap gap-1">
            {SNIPPETS.map(({ name }, index) => (
              <button
                key={name}
                id={`${id}tab${index}`}
                type="button"
                role="tab"
                className="segment"
                aria-selected={index === chosen}
                aria-controls={`${id}panel`}
                tabIndex={index === chosen ? 0 : -1}
                onClick={() => setChosen(index)}
                onKeyDown={onKeyDown}
              >
                {name}
              </button>
            ))}
          </div>
          <CopyButton text={text} />
        </div>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reachable by the keyboard */}
        <div id={`${id}panel`} role="tabpanel" aria-labelledby={`${id}tab${chosen}`} tabIndex={0}>
          <pre className="overflow-x-auto p-5 font-mono text-[0.8125rem] leading-relaxed">
            <code>{text}</code>
          </pre>
        </div>
      </div>
      <p className="mt-5 text-sm text-muted">
        Panels understand <code>signup_started</code>, <code>signup_completed</code>, <code>feature_used</code>,{" "}
        <code>error_occurred</code> and <code>page_view</code>; every event counts its session as active.
      </p>
    </section>
  );
}
