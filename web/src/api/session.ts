// Log-in: the server keeps the session, and the browser its cookie, which scripts cannot read.

export interface Session {
  /** Whether the server requires keys. */
  required: boolean;
  /** Who reads the panels. Undefined before the log-in. */
  caller?: { project: string; scope: string; canLogOut: boolean };
}

interface SessionResponse {
  required: boolean;
  caller: { project: string; scope: string; can_log_out: boolean } | null;
}

/** Below the path of the page, where a proxy may publish the server. */
const url = (): URL => new URL("api/session", document.baseURI);

/** Rejects with the server's own words. */
async function request(init: RequestInit): Promise<Response> {
  const response = await fetch(url(), init);
  if (response.ok) return response;
  const problem: { detail?: string } = await response.json().catch(() => ({}));
  throw new Error(problem.detail ?? `HTTP ${response.status}`);
}

export async function fetchSession(signal: AbortSignal): Promise<Session> {
  const response = await request({ signal });
  const { required, caller }: SessionResponse = await response.json();
  if (!caller) return { required };
  const { project, scope, can_log_out: canLogOut } = caller;
  return { required, caller: { project, scope, canLogOut } };
}

export async function logIn(key: string): Promise<void> {
  await request({ method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ key }) });
}

export async function logOut(): Promise<void> {
  await request({ method: "DELETE" });
}
