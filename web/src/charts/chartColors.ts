// Colours for the canvas, which knows no CSS variables.

import { useEffect, useState } from "react";

export type ChartColors = (variable: string) => string;

/** Resolves variables to colours. `light-dark()` is resolved by the browser, so a probe element is needed. */
export function readColors(element: HTMLElement): ChartColors {
  const resolved = new Map<string, string>();
  return (variable) => {
    let color = resolved.get(variable);
    if (color === undefined) {
      const probe = document.createElement("span");
      probe.style.color = `var(${variable})`;
      element.append(probe);
      color = getComputedStyle(probe).color || "#888";
      probe.remove();
      resolved.set(variable, color);
    }
    return color;
  };
}

/** Counts changes of what a canvas has to be drawn again for: the chosen theme, the system's, and fonts that have arrived. */
export function useThemeVersion(): number {
  const [version, setVersion] = useState(0);
  useEffect(() => {
    const changed = () => setVersion((before) => before + 1);
    const observer = new MutationObserver(changed);
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    const system = window.matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", changed);
    // jsdom has no fonts.
    document.fonts?.addEventListener("loadingdone", changed);
    return () => {
      observer.disconnect();
      document.fonts?.removeEventListener("loadingdone", changed);
      system.removeEventListener("change", changed);
    };
  }, []);
  return version;
}
