// Where the shell and the pages get their live data from.

import { useMemo } from "react";
import { useConnection as useConnectionInfo, useLiveStore } from "../live/hooks.tsx";
import type { ConnectionState } from "../live/protocol.ts";
import type { Query } from "../query/query.ts";

export { useCatalog, useLastFrame, useQueryState } from "../live/hooks.tsx";

export function useConnection(): { state: ConnectionState; hasEvents?: boolean } {
  const info = useConnectionInfo();
  return useMemo(() => {
    const { hasEvents, ...state } = info;
    return { state, hasEvents };
  }, [info]);
}

export function useLive() {
  const store = useLiveStore();
  return useMemo(
    () => ({
      call: store.call.bind(store),
      retry: store.retry.bind(store),
      /** The last result of a query that is watched. */
      frame: (query: Query) => store.state(query).frame,
    }),
    [store],
  );
}
