// What the command palette offers.

import { localTimeZone, offsetLabel } from "../../lib/time.ts";
import { COMPARISONS } from "../../query/query.ts";
import { PRESETS, rangeTitle } from "../../query/range.ts";
import { strings } from "../../strings.ts";
import type { IconName } from "../../ui/icons.tsx";
import type { BarControl } from "../Page.tsx";
import { frameStrings } from "../strings.ts";
import type { View } from "../view.ts";
import { zoneNames } from "../zones.ts";
import { paletteStrings } from "./strings.ts";

export type Section = keyof typeof paletteStrings.sections;

export interface Command {
  section: Section;
  title: string;
  /** Beside the title, and searched as well: "UTC+1". */
  detail?: string;
  icon?: IconName;
  /** Keys that do the same, as in the help. */
  keys?: string;
  /** It is what is shown at present. */
  current?: boolean;
  /** Only found by a search: there are hundreds of its kind. */
  searchOnly?: boolean;
  run: () => void;
}

export interface PanelOnPage {
  name: string;
  title: string;
}

/** The panels on the screen, in their order. */
export function panelsOnPage(root: ParentNode): PanelOnPage[] {
  const panels = new Map<string, string>();
  for (const card of root.querySelectorAll<HTMLElement>("main [data-panel]")) {
    const name = card.dataset.panel;
    const title = card.getAttribute("aria-label") ?? card.querySelector("h2, h3")?.textContent;
    if (name && title && !panels.has(name)) panels.set(name, title);
  }
  return [...panels].map(([name, title]) => ({ name, title }));
}

/** Commands that change what is shown: only those whose control the page has. */
export function viewCommands(
  { range, zone, compare }: View,
  uses: (control: BarControl) => boolean,
  panels: PanelOnPage[],
  onView: (change: Partial<View>) => void,
  onCustomRange: () => void,
): Command[] {
  const commands: Command[] = [];
  for (const { name, title } of panels) {
    commands.push({ section: "panels", title: paletteStrings.panel(title), run: () => onView({ panel: name }) });
  }
  if (uses("range")) {
    for (const name of PRESETS) {
      commands.push({
        section: "range",
        title: rangeTitle(name, zone, 0),
        icon: "calendar",
        current: range === name,
        run: () => onView({ range: name }),
      });
    }
    commands.push({
      section: "range",
      title: paletteStrings.customRange,
      detail: frameStrings.openRange,
      icon: "calendar",
      keys: "r",
      run: onCustomRange,
    });
  }
  if (uses("compare")) {
    for (const value of [undefined, ...COMPARISONS]) {
      commands.push({
        section: "compare",
        title: strings.compare[value ?? "none"],
        detail: strings.compareLabel,
        icon: "compare",
        current: compare === value,
        run: () => onView({ compare: value }),
      });
    }
  }
  if (uses("zone")) {
    const home = localTimeZone();
    const now = Date.now();
    for (const name of zoneNames(home, zone)) {
      commands.push({
        section: "zone",
        title: name.replaceAll("_", " "),
        detail: name === home ? `${offsetLabel(now, name)}, ${strings.zoneHome}` : offsetLabel(now, name),
        icon: "globe",
        current: name === zone,
        searchOnly: name !== home && name !== "UTC",
        run: () => onView({ zone: name }),
      });
    }
  }
  return commands;
}
