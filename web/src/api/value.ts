import type { WatchPanelsResponse } from "../gen/millrace/v1/dashboard_pb.ts";

/** A panel's value, as both the live stream and the unary calls bring it. */
export type PanelValue = Exclude<WatchPanelsResponse["value"], { case: undefined }>;

/** The message of the panel that answers with this case. */
export type ValueOf<C extends PanelValue["case"]> = Extract<PanelValue, { case: C }>["value"];
