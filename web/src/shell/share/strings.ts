export const shareStrings = {
  kind: "Time of the link",
  moving: "Moving time",
  movingHint: (range: string) => `Shows ${range} of the moment when it is opened.`,
  frozen: "Frozen time",
  frozenHint: (span: string, zone: string) => `Always shows ${span} (${zone}), as you see it now.`,
  fixedHint: (span: string, zone: string) => `Shows ${span} (${zone}) whenever it is opened.`,
  link: "Link",
  note: "It holds the page, its time zone, comparison and filters. Readers need access to this server.",
} as const;
