import { useInfiniteQuery } from "@tanstack/react-query";
import { call } from "../../api/client.ts";
import { type Failure, toFailure } from "../../api/errors.ts";
import type { Method } from "../../api/grpcWeb.ts";
import type { Init } from "../../api/messages.ts";
import { stableText } from "../../lib/stableText.ts";
import { queryClient } from "../../live/useCall.ts";

export interface Pages<Response> {
  pages: Response[];
  /** Why the last page that was requested could not be loaded. */
  failure: Failure | undefined;
  loading: boolean;
  loadingMore: boolean;
  hasMore: boolean;
  loadMore: () => void;
  retry: () => void;
}

/** A list in pages with tokens. Null: there is nothing to request. */
export function usePages<Request, Response extends { nextPageToken: string }>(
  method: Method<Request, Response, "unary">,
  request: Init<Request> | null,
): Pages<Response> {
  const result = useInfiniteQuery(
    {
      queryKey: [method.path, "pages", request === null ? null : stableText(request)],
      queryFn: ({ signal, pageParam }) =>
        call(method, { ...(request as object), pageToken: pageParam } as Init<Request>, signal),
      initialPageParam: "",
      getNextPageParam: ({ nextPageToken }: Response) => nextPageToken || undefined,
      enabled: request !== null,
      structuralSharing: false,
    },
    queryClient(),
  );
  const { data, error, isPending, isFetchingNextPage, hasNextPage, fetchNextPage, refetch } = result;
  return {
    pages: data?.pages ?? [],
    failure: error ? toFailure(error) : undefined,
    loading: request !== null && isPending,
    loadingMore: isFetchingNextPage,
    hasMore: hasNextPage,
    loadMore: () => {
      if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
    },
    retry: () => void (data ? fetchNextPage() : refetch()),
  };
}
