import { createContext, use, useEffect, useState } from "react";
import { fetchSession, type Session } from "../api/session.ts";
import { useConnection, useLive } from "./live.ts";

/** Asked once, for the whole page. */
export const SessionContext = createContext<Session | undefined>(undefined);

/** Who reads the panels. Undefined until the server has said so. */
export const useSession = (): Session | undefined => use(SessionContext);

/** Who reads the panels, asked whenever the server lets the page in or rejects it. Undefined until the server has said so. */
export function useFetchedSession(): Session | undefined {
  const { phase } = useConnection().state;
  const [session, setSession] = useState<Session>();
  const { retry } = useLive();
  const denied = phase === "denied" || phase === "live" || phase === "polling" ? phase === "denied" : undefined;
  useEffect(() => {
    if (denied === undefined) return;
    const abort = new AbortController();
    const received = (session: Session) => {
      setSession(session);
      // The worker was rejected before the log-in, which another tab or the provider's page has completed.
      if (denied && session.caller) retry();
    };
    // Without a response the banner says what is wrong.
    fetchSession(abort.signal).then(received, () => setSession(undefined));
    return () => abort.abort();
  }, [denied, retry]);
  return session;
}
