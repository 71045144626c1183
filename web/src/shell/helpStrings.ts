// The words of the help.

export const helpStrings = {
  title: "Keyboard shortcuts",
  enabled: "Single-key shortcuts",
  enabledHint: "Switch them off if speech input or another tool types letters into the page.",
  escape: "Close the open dialog or menu, leave the wall display",
  arrows: "Previous or next panel, while a panel is enlarged",
  notes: [
    "A dashed line or a hatched bar marks a bucket that is not complete yet.",
    "“≈” marks distinct counts that may be off by up to 1 %. All other counts are exact.",
    "The address holds the range, the time zone, the comparison, the filters and the enlarged panel: a shared link shows the same view.",
    "A thin dashed line of the same colour is the earlier period that a chart is compared with.",
  ],
} as const;
