// Which panels are not up to date, and which are over their threshold. The page reports them; the bar and the wall show them.

import { createContext, type ReactNode, use, useEffect, useMemo, useSyncExternalStore } from "react";
import type { QueryState } from "../live/protocol.ts";
import { isOverThreshold } from "./kiosk/tone.ts";

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
  /** Titles of the panels whose lead figure is over their threshold. */
  private readonly overByPanel = new Map<string, string>();
  private over: string[] = [];
  private readonly listeners = new Set<() => void>();

  set(panel: string, issue: PanelIssue | undefined) {
    if (issue) this.byPanel.set(panel, issue);
    else if (!this.byPanel.delete(panel)) return;
    this.all = [...this.byPanel.values()];
    for (const listener of this.listeners) listener();
  }
  setOver(panel: string, title: string | undefined) {
    if (this.overByPanel.get(panel) === title) return;
    if (title === undefined) this.overByPanel.delete(panel);
    else this.overByPanel.set(panel, title);
    this.over = [...this.overByPanel.values()];
    for (const listener of this.listeners) listener();
  }
  list = () => this.all;
  listOver = () => this.over;
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

/** Titles of the panels whose lead figure is over their threshold. */
export function usePanelsOver(): string[] {
  const issues = useIssues();
  return useSyncExternalStore(issues.subscribe, issues.listOver);
}

export function useReportIssue(panel: string, title: string, { status, since, reason, frame }: QueryState): void {
  const issues = useIssues();
  const over = isOverThreshold(frame);
  useEffect(() => {
    issues.setOver(panel, over ? title : undefined);
    return () => issues.setOver(panel, undefined);
  }, [issues, panel, title, over]);
  useEffect(() => {
    issues.set(panel, status === "stale" || status === "failed" ? { panel, title, status, since, reason } : undefined);
    return () => issues.set(panel, undefined);
  }, [issues, panel, title, status, since, reason]);
}
