// Calls of pages, with TanStack Query: equal calls are made once, the last result is kept while the next one is under way,
// and a call whose reader has gone is cancelled.

import { keepPreviousData, QueryClient, type UseQueryResult, useQuery } from "@tanstack/react-query";
import { call } from "../api/client.ts";
import type { Init } from "../api/codec.ts";
import { type Failure, toFailure } from "../api/errors.ts";
import type { Method } from "../api/grpcWeb.ts";
import { stableText } from "../lib/stableText.ts";
import { onReachable } from "./reachable.ts";

type Unary<Request, Response> = Method<Request, Response, "unary">;

/** Created with the first call. One for the page: a session's results do not outlive it, because the page is reloaded. */
let shared: QueryClient | undefined;
onReachable(() => {
  void shared?.refetchQueries({ type: "active", predicate: ({ state }) => state.status === "error" });
});

/** For mutations of what has been read, and for tests. */
export function queryClient(): QueryClient {
  shared ??= new QueryClient({
    defaultOptions: {
      queries: {
        // What a reader opens is computed now; a return within seconds takes what is there.
        staleTime: 5_000,
        gcTime: 300_000,
        refetchOnWindowFocus: false,
        networkMode: "always",
        retry: (count, error) => count < 2 && toFailure(error).kind === "transient",
      },
    },
  });
  return shared;
}

const keyOf = <Request, Response>({ path }: Unary<Request, Response>, request: Init<Request>) => [
  path,
  stableText(request),
];

export interface CallOptions {
  /** False: nothing is requested, for example because the reader has not asked yet. */
  enabled?: boolean;
  /** In milliseconds: the call is repeated while the component is mounted and the page is visible. */
  refreshMs?: number;
  /** Keeps showing the result of the request before. `isPlaceholderData` says so. */
  keepPrevious?: boolean;
  /** How long a result serves other readers. 5 s by default. */
  staleMs?: number;
}

export type CallState<Response> = UseQueryResult<Response> & {
  /** Why the last attempt failed, for people. */
  failure: Failure | undefined;
};

/** The response of a unary call. Null as a request: there is none yet. */
export function useCall<Request, Response>(
  method: Unary<Request, Response>,
  request: Init<Request> | null,
  { enabled = true, refreshMs, keepPrevious = true, staleMs }: CallOptions = {},
): CallState<Response> {
  const result = useQuery(
    {
      queryKey: request === null ? [method.path, null] : keyOf(method, request),
      queryFn: ({ signal }) => call(method, request as Init<Request>, signal),
      enabled: enabled && request !== null,
      ...(refreshMs !== undefined && { refetchInterval: refreshMs }),
      ...(staleMs !== undefined && { staleTime: staleMs }),
      ...(keepPrevious && { placeholderData: keepPreviousData }),
      // Bigints and bytes cannot be compared by the library.
      structuralSharing: false,
    },
    queryClient(),
  );
  return { ...result, failure: result.error ? toFailure(result.error) : undefined } as CallState<Response>;
}

/** What has been read by these methods is read again: something was saved. */
export async function invalidateCalls(...methods: { path: string }[]): Promise<void> {
  await Promise.all(methods.map(({ path }) => queryClient().invalidateQueries({ queryKey: [path] })));
}
