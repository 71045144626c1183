// Which dashboard kiosk mode shows next.

/** "web" of "/dashboards/web". The one at "/" has no name in the address. */
export const dashboardOf = (path: string): string | undefined => {
  const [, name] = /\/dashboards\/([^/]+)\/?$/.exec(path) ?? [];
  return name === undefined ? undefined : decodeURIComponent(name);
};

/** Its name in the list of dashboards. */
export const FIRST_DASHBOARD = "default";

export const dashboardPath = (name: string): string => `/dashboards/${encodeURIComponent(name)}`;

/** The one after the present one. The first if the present one is none of them; undefined if nothing changes. */
export function nextDashboard(rotate: readonly string[], current: string | undefined): string | undefined {
  const next = rotate[(rotate.indexOf(current ?? "") + 1) % rotate.length];
  return next === current ? undefined : next;
}
