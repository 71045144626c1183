// The words of the editor of dashboards.

import { formatCount, pluralize } from "../../../lib/format.ts";

export const editStrings = {
  loadNewest: "Load it",
  changed: "The dashboard has been changed on the server.",
  emptyHint: "Add a panel or an insight.",
  empty: "This dashboard is empty",
  editing: "Editing",
  title: "Title",
  description: "Description",
  titleMissing: "Enter a title",
  add: "Add",
  addTitle: "Add to the dashboard",
  addSearch: "Search panels and insights",
  addNone: "Nothing matches",
  addPanel: "Panel",
  addInsight: "Insight",
  addAsFigure: "As a key figure",
  addAsChart: "As a chart",
  shownAlready: "on the dashboard",
  full: (limit: number) => `A dashboard has at most ${limit} items`,
  undo: "Undo",
  redo: "Redo",
  save: "Save",
  cancel: "Cancel",
  discard: "Discard changes",
  keepEditing: "Keep editing",
  leaveTitle: "Leave without saving?",
  leaveHint: "The changes stay in this browser as a draft. You can go on when you edit this dashboard again.",
  leave: "Leave",
  unsaved: (count: number) => `${pluralize(count, "unsaved change")}`,
  duplicate: "Duplicate",
  hide: "Remove from the dashboard",
  rename: "Rename",
  renameTitle: (title: string) => `Rename ${title}`,
  renameHint: "Empty: the title of the panel or insight",
  move: (title: string) => `Move ${title}`,
  handleHint: "Arrow keys move it, with Shift they change its size",
  itemActions: (title: string) => `${title}: actions`,
  up: "Move up",
  down: "Move down",
  moved: (title: string, column: number, row: number) =>
    `${title}: column ${formatCount(column)}, row ${formatCount(row)}`,
  resized: (title: string, width: number, height: number) =>
    `${title}: ${pluralize(width, "column")} wide, ${pluralize(height, "row")} high`,
  cannotMove: (title: string) => `${title} cannot be moved further`,
  cannotResize: (title: string) => `${title} cannot be resized further`,
  added: (title: string) => `${title} was added`,
  removed: (title: string) => `${title} was removed`,
  undone: "The last change was undone",
  redone: "The change was made again",
  narrow: "On a narrow screen items can be added, removed, renamed and put in order. Sizes are those of a wide screen.",

  draftFound: (when: string) => `You have changes of this dashboard that are not saved, from ${when}.`,
  draftOutdated: "The dashboard has been saved since, by you or somebody else.",
  saveTitle: "Save the dashboard",
  saveHint: "The file changes like this:",
  saveNothing: "Nothing has changed.",
  saveEverybody: "Everybody who opens this dashboard sees the change.",
  saveProject: (project: string) => `Everybody in project ${project} sees the change.`,
  saveReplaces:
    "The built-in dashboard is replaced by a file of this name. If the file is deleted, the built-in one is back.",
  saved: "Dashboard saved",
  saveFailed: "The dashboard was not saved",
  conflictTitle: "The dashboard has been saved meanwhile",
  conflictHint: "Since you started to edit, its file has become another one. Nothing of yours is lost yet.",
  conflictGone: "Since you started to edit, its file has been deleted.",
  theirs: "What has changed on the server",
  yours: "What you have changed",
  loadTheirs: "Discard mine and load theirs",
  saveCopy: "Save mine as a copy",
  copyName: "Name of the copy",
  copyNameHint: "1 to 64 of a-z, 0-9, _ and -",
  copyNameInvalid: "Use 1 to 64 of a-z, 0-9, _ and -",
  copyNameTaken: "There is a dashboard of this name",

  change: {
    title: (before: string, after: string) => `Title: “${before}” becomes “${after}”`,
    description: (before: string, after: string) =>
      after === ""
        ? "The description is removed"
        : before === ""
          ? `Description: “${after}”`
          : `The description becomes “${after}”`,
    range: "The range at first changes",
    added: (title: string) => `${title} is added`,
    removed: (title: string) => `${title} is removed`,
    renamed: (before: string, after: string) => `${before} is called ${after}`,
    query: (title: string) => `${title} has another query`,
    chart: (title: string) => `${title} is drawn in another way`,
    moved: (titles: string[]) => `${list(titles)} ${titles.length === 1 ? "is" : "are"} at another place`,
    resized: (titles: string[]) => `${list(titles)} ${titles.length === 1 ? "has" : "have"} another size`,
  },
} as const;

/** "a", "a and b", "a, b and 3 more". */
function list(titles: string[]): string {
  if (titles.length <= 1) return titles[0] ?? "";
  if (titles.length <= 3) return `${titles.slice(0, -1).join(", ")} and ${titles.at(-1)}`;
  return `${titles.slice(0, 2).join(", ")} and ${titles.length - 2} more`;
}
