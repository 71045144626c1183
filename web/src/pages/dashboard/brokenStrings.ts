import { plural } from "../../strings.ts";

export const brokenStrings = {
  brokenPanels: (count: number) => `${plural(count, "panel")} cannot be loaded`,
  brokenHint: "These files are skipped. The other panels are not affected.",
} as const;
