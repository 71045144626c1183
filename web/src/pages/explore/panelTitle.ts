// The title of a question that was opened from a panel: the reader knows it by that.

import { questionText } from "./address.ts";
import type { Question } from "./question.ts";
import { byWords } from "./words.ts";

/** By the question, so that another one has no title of a panel. Lost with a reload. */
const titles = new Map<string, { title: string; by: string }>();
const MAX_TITLES = 50;

const byOf = (question: Question): string[] => ("by" in question ? [question.by].flat().filter(Boolean) : []);

/** Without what only says how it is shown. */
const textOf = ({ chart: _, top: __, ...rest }: Question): string => {
  const plain = { ...rest, ...("bucket" in rest && { bucket: undefined }) } as Question;
  if (plain.kind === "trend") return questionText({ ...plain, by: [] });
  return questionText("by" in plain ? { ...plain, by: "" } : plain);
};

export function rememberTitle(question: Question, title: string): void {
  const text = textOf(question);
  titles.delete(text);
  titles.set(text, { title, by: byWords(byOf(question)) });
  const [oldest] = titles.keys();
  if (titles.size > MAX_TITLES && oldest !== undefined) titles.delete(oldest);
}

/** "Error rate by release". Undefined if the question is not that of a panel with at most another breakdown. */
export function panelTitle(question: Question): string | undefined {
  const known = titles.get(textOf(question));
  const by = byWords(byOf(question));
  if (!known || (known.by !== "" && known.by !== by)) return undefined;
  return known.by === by ? known.title : known.title + by;
}
