// Log-in: the server keeps the session, and the browser its cookie, which scripts cannot read.

export interface Session {
  /** Whether the server requires keys. */
  required: boolean;
  /** Where people log in without a key. */
  provider?: { name: string; url: string };
  /** Why the person whom a proxy names has no entry. */
  problem?: string;
  /** Who reads the panels. Undefined before the log-in. */
  caller?: { project: string; scope: string; role?: string; canLogOut: boolean; projects: string[] };
}

interface SessionResponse {
  required: boolean;
  oidc?: { name: string; url: string };
  problem?: string;
  caller: { project: string; scope: string; role?: string; can_log_out: boolean; projects?: string[] } | null;
}

/** Below the path of the page, where a proxy may publish the server. */
const url = (path: string): URL => new URL(path, document.baseURI);

/** Rejects with the server's own words. */
async function request(init: RequestInit, path = "api/session"): Promise<Response> {
  const response = await fetch(url(path), init);
  if (response.ok) return response;
  const problem: { detail?: string } = await response.json().catch(() => ({}));
  throw new Error(problem.detail ?? `HTTP ${response.status}`);
}

export async function fetchSession(signal: AbortSignal): Promise<Session> {
  const response = await request({ signal });
  const { required, oidc: provider, problem, caller }: SessionResponse = await response.json();
  if (!caller) return { required, provider, problem };
  const { project, scope, role, can_log_out: canLogOut, projects = [project] } = caller;
  return { required, provider, caller: { project, scope, role, canLogOut, projects } };
}

const json = (method: string, body: unknown): RequestInit => ({
  method,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

export async function logIn(key: string): Promise<void> {
  await request(json("POST", { key }));
}

/** One of the caller's projects. The browser remembers it. */
export async function chooseProject(project: string): Promise<void> {
  await request(json("PUT", { project }), "api/session/project");
}

export async function logOut(): Promise<void> {
  await request({ method: "DELETE" });
}
