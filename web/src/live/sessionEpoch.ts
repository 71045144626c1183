// Which log-in, and which project of it, the tabs of this browser show. The worker's results are those of one epoch: after a
// change all tabs reload, and connect to a new worker, which has no results of the project before.

const KEY = "millrace.session";

/** The same text until the session changes. Empty before the first change. */
export function sessionEpoch(): string {
  try {
    return localStorage.getItem(KEY) ?? "";
  } catch {
    // Without storage there are no cookies, and so no sessions.
    return "";
  }
}

/** Reloads all tabs. */
export function beginSessionEpoch(): void {
  try {
    localStorage.setItem(KEY, Date.now().toString(36));
  } catch {
    // The other tabs, if there are any, are as they were.
  }
  location.reload();
}

/** Reloads this tab when another one has begun an epoch. */
export function followSessionEpoch(): () => void {
  const onStorage = ({ key }: StorageEvent) => {
    if (key === KEY) location.reload();
  };
  window.addEventListener("storage", onStorage);
  return () => window.removeEventListener("storage", onStorage);
}
