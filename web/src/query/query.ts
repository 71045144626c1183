// The query of a panel: its name, the range and the time zone.

import type { Range } from "../lib/time.ts";

export interface PanelQuery {
  panel: string;
  range: Range;
  /** IANA name. */
  zone: string;
}

/** Equal queries have equal keys. */
export const queryKey = ({ panel, range, zone }: PanelQuery): string => `${panel}?range=${range}&zone=${zone}`;
