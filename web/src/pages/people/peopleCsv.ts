// A list of people as a file: RFC 4180, the names of the contract.

import type { PersonSummary } from "../../api/messages.ts";

/** People in one file. More are a matter for the API. */
export const MAX_CSV_PEOPLE = 100_000;
export const CSV_PAGE = 1_000;

export interface PeoplePage {
  people: Pick<PersonSummary, "id" | "events">[];
  nextPageToken: string;
  total: bigint;
}

/** An id could begin like a formula: a spreadsheet would run it. */
const quote = (text: string): string => {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /["\r\n,]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

/** Reads all pages up to the limit. `withEvents`: whether the figure counts events. */
export async function peopleCsv(
  read: (pageToken: string) => Promise<PeoplePage>,
  withEvents: boolean,
  onProgress: (count: number, total: number) => void,
  max = MAX_CSV_PEOPLE,
): Promise<{ text: string; count: number; total: number }> {
  const lines = [withEvents ? "id,events" : "id"];
  let token = "";
  let total = 0;
  do {
    const page = await read(token);
    total = Number(page.total);
    for (const { id, events } of page.people) {
      if (lines.length <= max) lines.push(withEvents ? `${quote(id)},${events}` : quote(id));
    }
    token = page.nextPageToken;
    onProgress(lines.length - 1, total);
  } while (token !== "" && lines.length <= max);
  return { text: `${lines.join("\r\n")}\r\n`, count: lines.length - 1, total };
}
