// Measures where things are on the page.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import type { Page } from "playwright-core";

/** Texts of cards that are painted outside of their card: each as the card's name and the text. */
export const textsOutsideCards = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    const outside: string[] = [];
    for (const card of document.querySelectorAll<HTMLElement>("[data-panel]")) {
      const bounds = card.getBoundingClientRect();
      const walker = document.createTreeWalker(card, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        if (!node.textContent?.trim() || !node.parentElement) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        let { left, right, top, bottom } = range.getBoundingClientRect();
        if (right - left < 1 || bottom - top < 1) continue;
        // What is painted is what each ancestor leaves of it.
        for (
          let parent: Element | null = node.parentElement;
          parent && parent !== card;
          parent = parent.parentElement
        ) {
          const style = getComputedStyle(parent);
          const box = parent.getBoundingClientRect();
          const clipped = style.clipPath !== "none" || style.clip !== "auto";
          if (clipped || style.overflowX !== "visible")
            [left, right] = [Math.max(left, box.left), Math.min(right, box.right)];
          if (clipped || style.overflowY !== "visible")
            [top, bottom] = [Math.max(top, box.top), Math.min(bottom, box.bottom)];
        }
        if (right <= left || bottom <= top) continue;
        const fits =
          left >= bounds.left - 1 && right <= bounds.right + 1 && top >= bounds.top - 1 && bottom <= bounds.bottom + 1;
        if (!fits) outside.push(`${card.dataset.panel}: ${node.textContent.trim().slice(0, 40)}`);
      }
    }
    return outside;
  });

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Every violation that axe finds, of any impact. In either driver's page. */
export async function accessibilityViolations(page: {
  evaluate: (code: string) => Promise<unknown>;
}): Promise<string[]> {
  await page.evaluate(axe);
  const { violations } = (await page.evaluate("axe.run()")) as AxeResults;
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`);
}
