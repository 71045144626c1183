import { keepPreviousData, QueryClient, useQuery, useQueryClient } from "@tanstack/react-query";
import type { Catalog } from "../../live/protocol.ts";
import { useConnection, useLive } from "../../shell/live.ts";

/** A call's error says whether trying again can help. */
const isPermanent = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "permanent" in error && error.permanent === true;

export const createQueryClient = (): QueryClient =>
  new QueryClient({
    defaultOptions: {
      queries: {
        retry: (_failures, error) => !isPermanent(error),
        retryDelay: (failures) => Math.min(1_000 * 2 ** failures, 10_000),
        staleTime: Number.POSITIVE_INFINITY,
        refetchOnWindowFocus: false,
        refetchOnReconnect: false,
        // The browser's idea of being online says nothing about a server in the same network.
        networkMode: "always",
      },
    },
  });

/** The panels of the server, loaded again whenever the connection reports another version. */
export function useCatalog() {
  const { call } = useLive();
  const { catalogVersion } = useConnection();
  const client = useQueryClient();
  return useQuery({
    queryKey: ["catalog", catalogVersion ?? null],
    queryFn: () => call({ method: "listPanels" }),
    placeholderData: keepPreviousData,
    // The first list is requested before the version is known. It need not be requested again if it has that version.
    initialData: () => {
      const first = client.getQueryData<Catalog>(["catalog", null]);
      return first && first.version === catalogVersion ? first : undefined;
    },
  });
}
