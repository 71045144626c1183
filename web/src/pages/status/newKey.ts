// The form of a new key: what is typed, as a request, and what is wrong with it.

import { type CreateKeyRequest, type Init, KeyScope } from "../../api/messages.ts";
import { strings } from "./strings.ts";

const words = strings.newKey;

export type Scope = "write" | "browser" | "read" | "admin";

export const LIMITS = [
  "eventsPerSecond",
  "burst",
  "bytesPerSecond",
  "eventsPerDay",
  "maxStreams",
  "maxRequests",
] as const;
export type LimitName = (typeof LIMITS)[number];

export interface KeyForm {
  name: string;
  scope: Scope;
  project: string;
  /** One per line, or separated by commas. */
  origins: string;
  events: string;
  /** Empty: no limit. */
  limits: Record<LimitName, string>;
}

export const emptyForm = (project: string): KeyForm => ({
  name: "",
  scope: "write",
  project,
  origins: "",
  events: "",
  limits: { eventsPerSecond: "", burst: "", bytesPerSecond: "", eventsPerDay: "", maxStreams: "", maxRequests: "" },
});

export const SCOPES: Record<Scope, KeyScope> = {
  write: KeyScope.WRITE,
  browser: KeyScope.BROWSER,
  read: KeyScope.READ,
  admin: KeyScope.ADMIN,
};

export const sendsEvents = (scope: Scope): boolean => scope === "write" || scope === "browser";

export type KeyProblems = Partial<Record<"name" | "project" | "origins" | LimitName, string>>;

const listOf = (text: string): string[] => text.split(/[\s,]+/).filter(Boolean);

/** An origin as browsers send it: without a path. */
const isOrigin = (text: string): boolean => URL.canParse(text) && new URL(text).origin === text.toLowerCase();

const MAX_LIMIT = 4_294_967_295;

function limitProblem(text: string): string | undefined {
  const digits = text.trim();
  return digits === "" || (/^\d{1,10}$/.test(digits) && Number(digits) <= MAX_LIMIT) ? undefined : words.notNumber;
}

export function problemsOf({ name, scope, project, origins, limits }: KeyForm): KeyProblems {
  const problems: KeyProblems = {};
  if (name.trim() === "") problems.name = words.nameMissing;
  if (!/^[a-z0-9_-]{0,64}$/.test(project.trim())) problems.project = words.projectWrong;
  if (scope === "browser") {
    const wrong = listOf(origins).find((origin) => !isOrigin(origin));
    if (wrong !== undefined) problems.origins = words.originWrong(wrong);
    else if (listOf(origins).length === 0) problems.origins = words.originMissing;
  }
  if (sendsEvents(scope)) {
    for (const limit of LIMITS) {
      const problem = limitProblem(limits[limit]);
      if (problem) problems[limit] = problem;
    }
  }
  return problems;
}

/** Of a form without problems. */
export function toRequest({ name, scope, project, origins, events, limits }: KeyForm): Init<CreateKeyRequest> {
  const limit = (each: LimitName) => Number(limits[each].trim());
  const limited = sendsEvents(scope) && LIMITS.some((each) => limit(each) > 0);
  return {
    name: name.trim(),
    scope: SCOPES[scope],
    project: project.trim(),
    origins: scope === "browser" ? listOf(origins) : [],
    events: sendsEvents(scope) ? listOf(events) : [],
    ...(limited && {
      limits: {
        eventsPerSecond: limit("eventsPerSecond"),
        burst: limit("burst"),
        bytesPerSecond: limit("bytesPerSecond"),
        eventsPerDay: BigInt(limit("eventsPerDay")),
        maxStreams: limit("maxStreams"),
        maxRequests: limit("maxRequests"),
      },
    }),
  };
}
