// Countries by their names, from the list that shows them.

import { countryName } from "../../lib/format.ts";

let codes: Map<string, string> | undefined;

/** The code of a country, from its name in any case. Undefined if no country has this name. */
export function countryCode(name: string): string | undefined {
  if (!codes) {
    codes = new Map();
    const letters = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"];
    for (const code of letters.flatMap((first) => letters.map((second) => first + second))) {
      // Withdrawn codes have the name of their successor.
      const current = new Intl.Locale(`und-${code}`).region;
      const named = countryName(code);
      if (named !== code && (current === code || !codes.has(named.toLowerCase()))) codes.set(named.toLowerCase(), code);
    }
  }
  return codes.get(name.trim().toLowerCase());
}
