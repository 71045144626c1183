// jsdom has no canvas and no layout. This canvas draws nothing, so that charts can be rendered in tests; what they draw is
// tested through their pure parts and in a browser.

const nothing = () => {};

const context = new Proxy(
  {
    measureText: (text: string) => ({ width: text.length * 7 }),
    createLinearGradient: () => ({ addColorStop: nothing }),
    createPattern: () => null,
  } as Record<string, unknown>,
  { get: (own, name) => own[String(name)] ?? nothing, set: () => true },
);

class Path {
  roundRect = nothing;
  rect = nothing;
  moveTo = nothing;
  lineTo = nothing;
}

export function installBrowser(): void {
  HTMLCanvasElement.prototype.getContext = (() => context) as unknown as HTMLCanvasElement["getContext"];
  Object.assign(window, { Path2D: Path });
  Object.defineProperty(HTMLElement.prototype, "clientWidth", { configurable: true, get: () => 480 });
  Object.defineProperty(HTMLElement.prototype, "clientHeight", { configurable: true, get: () => 240 });
}
