// Browser APIs that jsdom does not implement.

import { cleanup, configure } from "@testing-library/react";
import { afterEach } from "vitest";

afterEach(cleanup);

// StrictMode as in main.tsx. The timeout is long enough for a machine under load.
configure({ reactStrictMode: true, asyncUtilTimeout: 20_000 });

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

// jsdom has no layout, and charts render only with a non-zero size.
HTMLElement.prototype.getBoundingClientRect = () => new DOMRect(0, 0, 480, 240);
