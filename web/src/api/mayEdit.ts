import type { Session } from "./session.ts";

/** Whether the caller may save insights and dashboards. Without keys everybody may. Unknown as long as the session is. */
export function mayEdit(session: Session | undefined): boolean {
  if (!session) return false;
  if (!session.required) return true;
  const { role, scope } = session.caller ?? {};
  return role === undefined ? scope === "admin" : role === "editor" || role === "admin";
}
