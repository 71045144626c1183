// The words of the page of live events.

import { formatCount, pluralize } from "../../lib/format.ts";
import type { Operator } from "./conditions.ts";

export const words = {
  title: "Live events",
  views: "Which events",
  accepted: "Accepted",
  acceptedTitle: "Accepted events",
  rejected: "Rejected",
  rejectedCount: (count: number) => `Rejected ${formatCount(count)}`,

  list: "Events, the newest first",
  columns: {
    time: "Time",
    event: "Event",
    visitor: "Visitor",
    summary: "Page, feature or properties",
    country: "Country",
  },
  noVisitor: "no session",
  open: (name: string, time: string) => `${name} at ${time}: show the event`,
  /** The name of a control contains its text. */
  filterBy: (condition: string, text: string) => `Only ${condition}${condition.includes(text) ? "" : `, ${text}`}`,

  perSecond: (rate: string) => `${rate}/s`,
  perSecondHint: "Matching events per second in the last minute",
  perMinute: (rate: string) => `${rate}/min`,
  perMinuteHint: "Matching events in the last minute",
  rate: "At most",

  conditions: "Conditions",
  addCondition: "Add condition",
  removeCondition: (condition: string) => `Remove the condition ${condition}`,
  removeConditions: "Remove the conditions",
  and: "and",
  or: "or",
  field: "Property",
  operator: "Comparison",
  value: "Value",
  chooseEvent: "Choose an event…",
  valueMissing: "Choose or enter a value",
  valueNotNumber: "Enter a number",
  add: "Add",
  rejectedConditions: (texts: string[]) =>
    `The link has ${texts.length === 1 ? "a condition" : "conditions"} that cannot be applied: ${texts.join(", ")}.`,
  operators: {
    is: "is",
    "is-not": "is not",
    contains: "contains",
    "contains-not": "does not contain",
    matches: "matches",
    greater: "is more than",
    "greater-or-equal": "is at least",
    less: "is less than",
    "less-or-equal": "is at most",
    "is-set": "is set",
    "is-not-set": "is not set",
  } satisfies Record<Operator, string>,

  status: {
    connecting: "Connecting",
    live: "New events appear on top",
    held: "Held still",
    heldByPointer: "Held still while the pointer is on the list",
    paused: "Paused",
    retrying: (reason: string) => `Disconnected: ${reason}`,
    nextAttempt: (seconds: number) => `next attempt in ${seconds} s`,
    attempting: "connecting",
    suspended: "Paused while the tab is hidden",
    sampled: (oneOf: number, leftOut: number, seconds: number) =>
      `Showing 1 of ${formatCount(oneOf)}: ${formatCount(leftOut)} left out in the last ${seconds} s`,
    mostly: (percent: number, leftOut: number, seconds: number) =>
      `Showing ${percent}%: ${formatCount(leftOut)} left out in the last ${seconds} s`,
    allLeftOut: (leftOut: number) => `${formatCount(leftOut)} events left out`,
    unexamined: (count: number) =>
      `${pluralize(count, "event")} ${count === 1 ? "was" : "were"} not compared with the conditions, because the server is busy`,
    recentProblem: (reason: string) => `Earlier events could not be read: ${reason}`,
    dropped: (rows: number) => `The list keeps the newest ${formatCount(rows)} events`,
  },
  retry: "Retry",
  newEvents: (count: number) => `${formatCount(count)} new`,
  showNew: (count: number) => `Show ${pluralize(count, "new event")}`,

  gap: (span: string) => `${span} not shown`,
  loadGap: "Load",
  loadingGap: "Loading",
  gapFailed: (reason: string) => `could not be loaded: ${reason}`,

  older: {
    loading: "Loading older events",
    end: (days: number) => `No older events in the last ${days} days`,
    full: (rows: number) => `The list is full with ${formatCount(rows)} events. Add a condition to reach further back`,
    failed: (reason: string) => `Older events could not be loaded: ${reason}`,
    load: "Load older events",
  },

  loadEarlier: "Look further back",
  none: "No events yet",
  noneHint: "Nothing was accepted in the last 24 hours. Events appear here within a second of their arrival.",
  noMatch: "No event matches",
  noMatchHint: (what: string) =>
    `None of the last 24 hours is stored with ${what}. One that matches appears here as soon as it arrives.`,
  failed: "Live events cannot be shown",
  denied: "You may not read events",
  deniedHint: (reason: string) =>
    `The server has refused: ${reason}. A key or a role with the right to read shows them.`,

  event: {
    label: "Event",
    close: "Close",
    received: (delay: string) => `received ${delay} later`,
    receivedEarlier: (delay: string) => `received ${delay} before its own time: the sender's clock is ahead`,
    arrived: (latency: string) => `on this page ${latency} after that`,
    copyJson: "Copy JSON",
    copyCurl: "Copy as curl",
    copied: "Copied",
    copyFailed: "The browser has refused to copy. Select the text instead",
    person: "Show person",
    json: "Event as JSON. A value filters the list",
    filterValue: (condition: string, text: string) =>
      `Only events with ${condition}${condition.includes(text) ? "" : `, ${text}`}`,
    noId: "It has no id until it is stored",
    brokenJson: "The text ends here",
    fault: "fault",
  },

  firstEvent: {
    title: "Your first event has arrived",
    detail: (name: string, latency: string) => `${name} was on this page ${latency} after the server had received it.`,
    test: (latency: string) => `Your test event has arrived: ${latency} from the server to this page.`,
    dashboard: "Go to the dashboard",
    dismiss: "Dismiss",
    badge: "test",
  },
};
