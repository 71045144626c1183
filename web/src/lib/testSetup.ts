// What the tests' document lacks of a browser.

import { cleanup, configure } from "@testing-library/react";
import { afterEach } from "vitest";

afterEach(cleanup);

// Patient enough for a busy machine.
configure({ asyncUtilTimeout: 10_000 });

HTMLDialogElement.prototype.showModal = function showModal() {
  this.open = true;
};
HTMLDialogElement.prototype.close = function close() {
  this.open = false;
};

window.matchMedia = (query: string): MediaQueryList =>
  ({
    matches: false,
    media: query,
    addEventListener: () => {},
    removeEventListener: () => {},
  }) as unknown as MediaQueryList;

window.ResizeObserver = class {
  observe() {}
  unobserve() {}
  disconnect() {}
};

// Nothing has a size in a document that is never drawn, and charts ask for theirs.
HTMLElement.prototype.getBoundingClientRect = () => new DOMRect(0, 0, 480, 240);
