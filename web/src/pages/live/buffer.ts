// The rows of the stream: a bounded list that can be held still while events arrive.

import { identityOf, type LiveEvent } from "./events.ts";

/** Rows that are kept, and characters of their properties: events of 64 KiB would need gigabytes otherwise. */
export const MAX_ROWS = 100_000;
export const MAX_CHARACTERS = 64_000_000;
/** Rows that are dropped at once, because the list moves in memory each time. */
const DROP_STEP = 1_000;

/** Events between these times may be missing: nobody listened. */
export interface GapRow {
  kind: "gap";
  key: number;
  /** Unix milliseconds; inclusive. */
  from: number;
  to: number;
  state: "open" | "loading" | "failed";
  /** Why it could not be loaded. */
  reason?: string;
}

export interface EventRow {
  kind: "event";
  key: number;
  event: LiveEvent;
  /** Whether it came live, and when it was on the page: Unix milliseconds by the browser's clock. */
  arrivedAt?: number;
}

export type Row = EventRow | GapRow;

interface Limits {
  rows: number;
  characters: number;
}

const sizeOf = (row: Row): number => (row.kind === "event" ? row.event.properties.length + 200 : 0);

/** Of the newest rows, so many are compared with events that are read again. */
const COMPARED_ROWS = 2_000;

export class EventBuffer {
  /** Oldest first. */
  private rows: Row[] = [];
  /** What has arrived while the list was held. */
  private waitingRows: Row[] = [];
  private characters = 0;
  private waitingEvents = 0;
  private held = false;
  private nextKey = 1;
  /** Events that were dropped because the list was full. */
  dropped = 0;

  constructor(private readonly limits: Limits = { rows: MAX_ROWS, characters: MAX_CHARACTERS }) {}

  get length(): number {
    return this.rows.length;
  }

  /** Events that wait until the list is released. */
  get waiting(): number {
    return this.waitingEvents;
  }

  get isFull(): boolean {
    return this.rows.length >= this.limits.rows || this.characters >= this.limits.characters;
  }

  /** The newest row has the index 0. */
  at(index: number): Row | undefined {
    return this.rows[this.rows.length - 1 - index];
  }

  indexOf(key: number): number {
    const index = this.rows.findIndex((row) => row.key === key);
    return index < 0 ? -1 : this.rows.length - 1 - index;
  }

  /** The oldest event, from which older ones are loaded. */
  get oldest(): LiveEvent | undefined {
    const row = this.rows.find((each) => each.kind === "event");
    return row?.kind === "event" ? row.event : undefined;
  }

  /** The newest event, also if it waits. */
  get newest(): LiveEvent | undefined {
    const isEvent = (row: Row): row is EventRow => row.kind === "event";
    return (this.waitingRows.findLast(isEvent) ?? this.rows.findLast(isEvent))?.event;
  }

  /** Holds the list still, or shows what has arrived meanwhile. */
  hold(on: boolean): void {
    this.held = on;
    if (on || this.waitingRows.length === 0) return;
    const rows = this.waitingRows;
    this.waitingRows = [];
    this.waitingEvents = 0;
    this.add(rows);
  }

  /** Adds events, the oldest first. */
  append(events: LiveEvent[], arrivedAt?: number): void {
    this.add(events.map((event) => ({ kind: "event", key: this.nextKey++, event, arrivedAt })));
  }

  appendGap(from: number, to: number): void {
    this.add([{ kind: "gap", key: this.nextKey++, from, to, state: "open" }]);
  }

  private add(rows: Row[]): void {
    for (const row of rows) this.characters += sizeOf(row);
    // An empty list has nothing that could move.
    if (this.held && this.rows.length > 0) {
      for (const row of rows) this.waitingRows.push(row);
      this.waitingEvents += rows.reduce((count, row) => count + (row.kind === "event" ? 1 : 0), 0);
      this.dropWaiting();
    } else {
      for (const row of rows) this.rows.push(row);
      this.drop();
    }
  }

  private drop(): void {
    const { rows, characters } = this.limits;
    if (this.rows.length <= rows + Math.min(DROP_STEP, rows / 10) && this.characters <= characters) return;
    let count = Math.max(0, this.rows.length - rows);
    for (let i = 0; i < this.rows.length; i += 1) {
      const row = this.rows[i];
      if (!row || (i >= count && this.characters <= characters * 0.95)) break;
      count = Math.max(count, i + 1);
      this.characters -= sizeOf(row);
    }
    this.dropped += count;
    this.rows.splice(0, count);
  }

  /** What waits alone may be more than the list can hold. The rows that are shown stay until they are released. */
  private dropWaiting(): void {
    const { rows, characters } = this.limits;
    const limit = rows + Math.min(DROP_STEP, rows / 10);
    if (this.waitingRows.length <= limit && this.characters <= 2 * characters) return;
    const count = Math.max(this.waitingRows.length - rows, Math.ceil(this.waitingRows.length / 10));
    const gone = this.waitingRows.splice(0, count);
    for (const row of gone) this.characters -= sizeOf(row);
    const events = gone.filter((row) => row.kind === "event");
    this.waitingEvents -= events.length;
    const [first] = gone;
    const last = events.at(-1);
    // The gap tells that something is missing between what is shown and what waits. The one of before becomes part of it.
    if (first && last?.kind === "event") {
      const from = first.kind === "gap" ? first.from : first.event.at;
      this.waitingRows.unshift({ kind: "gap", key: this.nextKey++, from, to: last.event.at, state: "open" });
    }
  }

  /** Those of `events` that are not among the newest rows, and whether any was. */
  unknown(events: LiveEvent[]): { added: LiveEvent[]; overlaps: boolean } {
    const known = new Set<string>();
    for (const list of [this.rows.slice(-COMPARED_ROWS), this.waitingRows.slice(-COMPARED_ROWS)]) {
      for (const row of list) if (row.kind === "event") known.add(identityOf(row.event));
    }
    const added = events.filter((event) => !known.has(identityOf(event)));
    return { added, overlaps: added.length < events.length };
  }

  /** Adds older events at the end of the list, the newest first, as a search returns them. */
  addOlder(events: LiveEvent[]): void {
    const known = new Set<string>();
    for (const row of this.rows.slice(0, COMPARED_ROWS)) if (row.kind === "event") known.add(identityOf(row.event));
    const older = events
      .filter((event) => !known.has(identityOf(event)))
      .reverse()
      .map((event): Row => ({ kind: "event", key: this.nextKey++, event }));
    for (const row of older) this.characters += sizeOf(row);
    this.rows = older.concat(this.rows);
  }

  setGap(key: number, change: Pick<GapRow, "state" | "reason">): void {
    const index = this.rows.findIndex((row) => row.key === key);
    const row = this.rows[index];
    if (row?.kind === "gap") this.rows[index] = { ...row, reason: undefined, ...change };
  }

  /** Puts events, the newest first, into the place of a gap. `rest`: what is still missing before the oldest of them. */
  fillGap(key: number, events: LiveEvent[], rest?: { from: number; to: number }): void {
    const index = this.rows.findIndex((row) => row.key === key);
    if (index < 0) return;
    const known = new Set<string>();
    for (const row of this.rows.slice(Math.max(0, index - COMPARED_ROWS), index + COMPARED_ROWS)) {
      if (row.kind === "event") known.add(identityOf(row.event));
    }
    const rows = events
      .filter((event) => !known.has(identityOf(event)))
      .reverse()
      .map((event): Row => ({ kind: "event", key: this.nextKey++, event }));
    for (const row of rows) this.characters += sizeOf(row);
    const left: Row[] = rest ? [{ kind: "gap", key, ...rest, state: "open" }] : [];
    this.rows.splice(index, 1, ...left, ...rows);
  }

  clear(): void {
    this.rows = [];
    this.waitingRows = [];
    this.characters = 0;
    this.waitingEvents = 0;
    this.dropped = 0;
  }
}
