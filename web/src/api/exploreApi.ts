// Questions of Explore and their results. Loaded with the first question: the default dashboard has none.

import { QUERY_FUNNEL, QUERY_PATHS, QUERY_RETENTION, QUERY_TREND } from "../gen/millrace/v1/explore_codec.ts";
import type { ExploreQuery } from "../query/query.ts";
import { decodeExplore, type ExploreResponse } from "./decodeExplore.ts";
import { exploreRequest } from "./explore.ts";
import type { CallOptions, GrpcWebClient } from "./grpcWeb.ts";

export { decodeExplore, exploreRequest };

/** Asks once. */
export async function callExplore(
  client: GrpcWebClient,
  query: ExploreQuery,
  options: CallOptions,
): Promise<ExploreResponse> {
  const request = exploreRequest(query);
  switch (request.case) {
    case "trend":
      return { case: "trend", value: await client.unary(QUERY_TREND, request.value, options) };
    case "funnel":
      return { case: "funnel", value: await client.unary(QUERY_FUNNEL, request.value, options) };
    case "retention":
      return { case: "retention", value: await client.unary(QUERY_RETENTION, request.value, options) };
    case "paths":
      return { case: "paths", value: await client.unary(QUERY_PATHS, request.value, options) };
  }
}
