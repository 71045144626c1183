import { QueryClient, QueryClientProvider, useMutation } from "@tanstack/react-query";
import { useState } from "react";
import type { PanelInfo } from "../../../live/protocol.ts";
import type { PanelQuery } from "../../../query/query.ts";
import { useLive } from "../../../shell/live.ts";
import { Button } from "../../../ui/Button.tsx";
import { CopyButton } from "../../../ui/CopyButton.tsx";
import { Tabs } from "../../../ui/Tabs.tsx";
import { showToast } from "../../../ui/toast.ts";
import SetupChecklist from "./SetupChecklist.tsx";
import { snippets } from "./snippets.ts";
import { startStrings as words } from "./strings.ts";

/** The address of the server: that of the page, without the page's own path. */
const serverAddress = (): string => new URL(document.baseURI).href.replace(/\/$/, "");

interface Props {
  panels: PanelInfo[];
  range: PanelQuery["range"];
  zone: string;
}

/** Shown while the server has no events: ways to send the first one. The panels replace it when an event arrives. */
export default function GettingStarted({ panels, range, zone }: Props) {
  const list = snippets(serverAddress());
  const [queries] = useState(() => new QueryClient());
  return (
    <section
      aria-label={words.title}
      className="mx-auto w-full max-w-3xl py-6 sm:my-auto sm:pb-16"
      data-getting-started
    >
      <p className="mb-2 flex items-center gap-2.5 font-medium text-accent" role="status">
        <span className="pulse size-2.5 rounded-full bg-accent" aria-hidden="true" />
        {words.waiting}
      </p>
      <div className="flex flex-wrap items-end justify-between gap-x-6 gap-y-4">
        <div className="max-w-lg">
          <h2 className="text-2xl font-semibold tracking-tight">{words.title}</h2>
          <p className="mt-2 text-muted">{words.intro}</p>
        </div>
        <QueryClientProvider client={queries}>
          <SendTestEvent />
        </QueryClientProvider>
      </div>
      <div className="card my-5 overflow-hidden p-0!">
        <Tabs
          label={words.snippets}
          actions={(id) => <CopyButton text={list.find((snippet) => snippet.id === id)?.text ?? ""} />}
          tabs={list.map(({ id, label, note, text }) => ({
            id,
            label,
            content: () => (
              <>
                <p className="px-5 pt-4 text-muted">{note}</p>
                <pre className="overflow-x-auto p-5 pt-3 font-mono leading-relaxed">
                  <code>{text}</code>
                </pre>
              </>
            ),
          }))}
        />
      </div>
      <SetupChecklist panels={panels} range={range} zone={zone} />
    </section>
  );
}

function SendTestEvent() {
  const { call } = useLive();
  const { mutate, isPending } = useMutation({
    mutationFn: () =>
      call({
        method: "sendEvent",
        eventName: "page_view",
        sessionId: `test-${Math.random().toString(36).slice(2, 10)}`,
        properties: { page_url: "/test", duration_ms: "1200" },
      }),
    onSuccess: () => showToast({ title: words.sent, description: words.sentHint }),
    onError: ({ message }) => showToast({ title: words.sendFailed, description: message, type: "error" }),
    // The browser's idea of being online says nothing about a server in the same network.
    networkMode: "always",
  });
  return (
    <Button kind="primary" icon="send" disabled={isPending} onClick={() => mutate()}>
      {words.sendTest}
    </Button>
  );
}
