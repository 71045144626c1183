// A wall has nobody to press a button: what could not be loaded is loaded again when the server answers.

import { useEffect } from "react";

const INTERVAL_MS = 30_000;

/** Reloads the page of a wall, but only when there is something to load: a browser's own error page would be the end. */
export function useWallRecovery(): void {
  useEffect(() => {
    if (document.documentElement.dataset.wall === undefined) return;
    const timer = setInterval(() => {
      fetch(document.baseURI, { cache: "no-store" }).then(
        ({ ok }) => ok && location.reload(),
        // The server is away: the next attempt follows.
        () => {},
      );
    }, INTERVAL_MS);
    return () => clearInterval(timer);
  }, []);
}
