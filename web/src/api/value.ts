import type { WatchPanelsResponse } from "../gen/millrace/v1/dashboard_pb.ts";

/** A panel's value, from the stream or from a unary call. */
export type PanelValue = Exclude<WatchPanelsResponse["value"], { case: undefined }>;

/** The message type of a case. */
export type ValueOf<C extends PanelValue["case"]> = Extract<PanelValue, { case: C }>["value"];
