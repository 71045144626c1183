// A rate: the first of two series as a share of the second.

/** The formula of a new rate. */
export const RATE = "A / B";

/** What makes the values of a rate's formula percentages: 1 or 100. Undefined for any other formula. */
export function percentFactor(formula: string): number | undefined {
  const [whole, percent] = /^(100\*)?A\/B$/i.exec(formula.replaceAll(/\s/g, "")) ?? [];
  return whole === undefined ? undefined : percent ? 1 : 100;
}

/** What a rate can count. Both of its series count the same. */
export type Counted = "events" | "visitors" | "sessions";

/** "error_occurred, share of all events". Without a whole, of all that is counted. */
export const shareWords = (part: string, whole: string | undefined, counted: Counted): string =>
  `${part}, share of ${whole ?? `all ${counted}`}`;
