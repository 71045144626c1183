export const enlargedStrings = {
  panelNotFound: "Panel not found",
  panelNotFoundHint: (name: string) => `This server has no panel named “${name}”.`,
  previousPanel: "Previous panel",
  nextPanel: "Next panel",
} as const;
