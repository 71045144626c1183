import { useLocation, useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";
import { useConnection } from "../live.ts";
import { usePause } from "../pause.tsx";
import { ROTATION_SECONDS, type Search, type View, viewSearch } from "../view.ts";
import { dashboardOf, dashboardPath, nextDashboard } from "./rotation.ts";

/**
 * Shows the chosen dashboards one after the other. While the server is away the one on the screen stays, with its figures:
 * the next one would have none.
 */
export function useRotation({ wall = false, rotate, every = ROTATION_SECONDS.usual }: View): void {
  const { pathname } = useLocation();
  const navigate = useNavigate();
  const { paused } = usePause();
  const { phase } = useConnection().state;
  const current = dashboardOf(pathname);
  const names = wall ? (rotate ?? []).join(",") : "";
  const next = names === "" ? undefined : nextDashboard(names.split(","), current);
  // A link to the wall begins with the first of them, whatever its page is.
  const astray = next !== undefined && !names.split(",").includes(current ?? "");
  const away = phase === "stale" || phase === "offline" || phase === "denied";
  const stands = paused || away || document.hidden;
  useEffect(() => {
    if (next === undefined || (stands && !astray)) return;
    const show = () => {
      const search = ({ range, from, to, ...held }: Search) => ({
        ...viewSearch(held),
        // The present dashboard's own range is not the next one's.
        ...(held.own === undefined && { range, from, to }),
        wall: held.wall,
        rotate: held.rotate,
        every: held.every,
      });
      // Replaced: the Back button leaves the wall, and a night does not make a thousand entries.
      void navigate({ to: dashboardPath(next), search: search as never, replace: true });
    };
    const timer = setTimeout(show, astray ? 0 : every * 1_000);
    return () => clearTimeout(timer);
  }, [next, stands, astray, every, navigate]);
}
