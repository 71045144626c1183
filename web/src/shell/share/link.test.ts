import { expect, test } from "vitest";
import { Random } from "../../lib/random.testing.ts";
import { randomView } from "../randomView.testing.ts";
import { formatSearch, parseSearch, readView, rejectedValues, writeView } from "../view.ts";
import { sharedLink, sharedSearch } from "./link.ts";

const HOME = "Europe/Madrid";
const MINUTE = 60_000;

const random = new Random(18);

test("any view survives its address, and the address its view", () => {
  for (let run = 0; run < 1_000; run += 1) {
    const view = randomView(random);
    const text = formatSearch(writeView(view));
    // Parameters only change their order and their escapes in a browser.
    const again = parseSearch(new URL(`http://host/${text}`).search);
    expect(readView(again, HOME), text).toEqual(view);
    expect(formatSearch(writeView(readView(again, HOME))), text).toBe(text);
    expect(rejectedValues(again, HOME), text).toEqual({});
  }
});

test("a moving link is the view itself, and a frozen one the view with the span that was shown", () => {
  for (let run = 0; run < 500; run += 1) {
    const view = randomView(random);
    const search = { ...writeView(view), login: "kept" };
    expect(readView(sharedSearch(search, HOME), HOME)).toEqual(view);
    const from = Math.floor(Date.now() / MINUTE - 1 - random.below(100_000)) * MINUTE;
    const span = { from, to: from + MINUTE * (1 + random.below(10_000)) };
    const frozen = sharedSearch(search, HOME, span);
    const fixed = { ...view, range: span, own: undefined };
    expect(readView(frozen, HOME)).toEqual(fixed);
    expect(frozen.login).toBe("kept");
    const url = new URL(sharedLink(`http://host/sub/explore?old=1#there`, search, HOME, span));
    expect(url.pathname + url.hash).toBe("/sub/explore#there");
    expect(readView(parseSearch(url.search), HOME)).toEqual(fixed);
  }
});
