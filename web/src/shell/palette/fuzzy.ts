// Finds what somebody means by a few letters: they occur in the text in that order.

/** Where the letters were found, and how well they fit. Higher is better. */
export interface Match {
  score: number;
  /** Indices into the text, ascending. */
  positions: number[];
}

const START_OF_TEXT = 12;
const START_OF_WORD = 8;
const ADJACENT = 6;
const MAX_GAP_COST = 3;

/** Lower case and without accents, with the same length as the text. */
function plain(text: string): string {
  return Array.from({ length: text.length }, (_, index) => {
    const letter = (text[index] as string).normalize("NFD")[0] as string;
    const lower = letter.toLowerCase();
    return lower.length === 1 ? lower : letter;
  }).join("");
}

const isWordStart = (text: string, index: number): boolean =>
  index === 0 || !/[\p{L}\p{N}]/u.test(text[index - 1] as string);

/** The best places of the letters of one word: each pair of a letter and a place is looked at once. */
function matchWord(word: string, text: string): Match | undefined {
  interface Best {
    score: number;
    from: number;
  }
  const rows: (Best | undefined)[][] = [];
  for (let letter = 0; letter < word.length; letter += 1) {
    const row: (Best | undefined)[] = [];
    const before = rows[letter - 1];
    /** The best place of the letter before, its score lowered by the gap since. */
    let earlier: Best | undefined;
    for (let place = 0; place < text.length; place += 1) {
      const previous = before?.[place - 2];
      if (previous && (!earlier || previous.score > earlier.score))
        earlier = { score: previous.score, from: place - 2 };
      if (text[place] !== word[letter]) continue;
      const own = place === 0 ? START_OF_TEXT : isWordStart(text, place) ? START_OF_WORD : 1;
      if (letter === 0) {
        row[place] = { score: own, from: -1 };
        continue;
      }
      const adjacent = before?.[place - 1];
      const joined = adjacent && { score: adjacent.score + own + ADJACENT, from: place - 1 };
      const apart = earlier && {
        score: earlier.score + own - Math.min(MAX_GAP_COST, place - earlier.from - 1),
        from: earlier.from,
      };
      row[place] = !joined ? apart : !apart || joined.score >= apart.score ? joined : apart;
    }
    rows.push(row);
  }
  let last = -1;
  let score = Number.NEGATIVE_INFINITY;
  rows.at(-1)?.forEach((best, place) => {
    if (best && best.score > score) {
      score = best.score;
      last = place;
    }
  });
  if (last < 0) return undefined;
  const positions: number[] = [];
  for (let letter = word.length - 1, place = last; letter >= 0; letter -= 1) {
    positions.unshift(place);
    place = rows[letter]?.[place]?.from ?? -1;
  }
  return { score, positions };
}

/** Every word of the query must be found, in any order. An empty query matches everything. */
export function fuzzyMatch(query: string, text: string): Match | undefined {
  const searched = plain(text);
  const positions = new Set<number>();
  let score = 0;
  for (const word of plain(query).split(/\s+/).filter(Boolean)) {
    const found = matchWord(word, searched);
    if (!found) return undefined;
    score += found.score;
    for (const position of found.positions) positions.add(position);
  }
  // Of equal matches the shorter text is meant more likely.
  return { score: score - searched.length / 100, positions: [...positions].sort((a, b) => a - b) };
}

/** The items that match, the best first; equal ones in their order. */
export function fuzzyFilter<T>(
  query: string,
  items: readonly T[],
  textOf: (item: T) => string,
): { item: T; match: Match }[] {
  const found = items.flatMap((item, index) => {
    const match = fuzzyMatch(query, textOf(item));
    return match ? [{ item, match, index }] : [];
  });
  if (query.trim() === "") return found.map(({ item, match }) => ({ item, match }));
  found.sort((a, b) => b.match.score - a.match.score || a.index - b.index);
  // Letters that happen to be in a long text are not meant, if something else fits far better.
  const least = (found[0]?.match.score ?? 0) / 2;
  return found.filter(({ match }) => match.score >= least).map(({ item, match }) => ({ item, match }));
}
