// What a dashboard shows. Called in the worker, which has the codec: the tab needs none before one of its pages is opened.

import { GET_DASHBOARD, LIST_DASHBOARDS, LIST_INSIGHTS } from "../gen/millrace/v1/insights_codec.ts";
import type { Dashboard, Insight } from "../gen/millrace/v1/insights_pb.ts";
import type { CallOptions, GrpcWebClient } from "./grpcWeb.ts";

type Client = Pick<GrpcWebClient, "unary">;

export interface BoardResult {
  dashboard: Dashboard;
  /** Those of the project. */
  insights: Insight[];
}

export interface BoardList {
  dashboards: Dashboard[];
  /** Whether the folder of the dashboards cannot be written. */
  readOnly: boolean;
}

/** Both at once: the first figures wait for one round trip, not for two. */
export async function getBoard(client: Client, name: string, options: CallOptions): Promise<BoardResult> {
  const listed = client.unary(LIST_INSIGHTS, {}, options);
  // A rejection is handled below, after the dashboard's.
  listed.catch(() => {});
  const { dashboard } = await client.unary(GET_DASHBOARD, { name }, options);
  if (!dashboard) throw new Error("the response has no dashboard");
  return { dashboard, insights: (await listed).insights };
}

export async function listBoards(client: Client, options: CallOptions): Promise<BoardList> {
  const { dashboards, readOnly } = await client.unary(LIST_DASHBOARDS, {}, options);
  return { dashboards, readOnly };
}
