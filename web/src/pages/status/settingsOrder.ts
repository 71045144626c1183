import type { Setting } from "../../api/messages.ts";

/** Those that match, the ones that were changed first, each in the server's order. */
export function shownSettings(settings: readonly Setting[], search: string): Setting[] {
  const wanted = search.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const matching = settings.filter(({ name, value, description }) => {
    const text = `${name} ${value} ${description}`.toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
  return [...matching.filter(({ isDefault }) => !isDefault), ...matching.filter(({ isDefault }) => isDefault)];
}
