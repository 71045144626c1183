import type { Change } from "../board/difference.ts";
import { type Known, titleOf } from "../board/items.ts";
import { editStrings } from "./strings.ts";

const words = editStrings.change;

/** A change as a sentence. */
export function changeWords(change: Change, known: Known): string {
  switch (change.kind) {
    case "title":
      return words.title(change.before, change.after);
    case "description":
      return words.description(change.before, change.after);
    case "range":
      return words.range;
    case "renamed":
      return words.renamed(titleOf({ ...change.item, title: change.before }, known), titleOf(change.item, known));
    case "moved":
    case "resized":
      return words[change.kind](change.items.map((item) => titleOf(item, known)));
    default:
      return words[change.kind](titleOf(change.item, known));
  }
}
