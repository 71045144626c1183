// Which panels are not up to date. The page reports them, the status in the header shows them.

import { createContext, type ReactNode, use, useEffect, useMemo, useSyncExternalStore } from "react";
import type { QueryState } from "../live/protocol.ts";

export interface PanelIssue {
  panel: string;
  title: string;
  status: "stale" | "failed";
  since: number;
  reason?: string;
}

class Issues {
  private readonly byPanel = new Map<string, PanelIssue>();
  private all: PanelIssue[] = [];
  private readonly listeners = new Set<() => void>();

  set(panel: string, issue: PanelIssue | undefined) {
    if (issue) this.byPanel.set(panel, issue);
    else if (!this.byPanel.delete(panel)) return;
    this.all = [...this.byPanel.values()];
    for (const listener of this.listeners) listener();
  }
  list = () => this.all;
  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
}

const IssuesContext = createContext<Issues | null>(null);

export function PanelIssuesProvider({ children }: { children: ReactNode }) {
  const issues = useMemo(() => new Issues(), []);
  return <IssuesContext value={issues}>{children}</IssuesContext>;
}

function useIssues(): Issues {
  const issues = use(IssuesContext);
  if (!issues) throw new Error("no PanelIssuesProvider");
  return issues;
}

export function usePanelIssues(): PanelIssue[] {
  const issues = useIssues();
  return useSyncExternalStore(issues.subscribe, issues.list);
}

export function useReportIssue(panel: string, title: string, { status, since, reason }: QueryState): void {
  const issues = useIssues();
  useEffect(() => {
    issues.set(panel, status === "stale" || status === "failed" ? { panel, title, status, since, reason } : undefined);
    return () => issues.set(panel, undefined);
  }, [issues, panel, title, status, since, reason]);
}
