// Which component draws a panel.

import type { ComponentType } from "react";
import type { Frame } from "../../frame/frame.ts";
import type { PanelInfo, QueryState } from "../../live/protocol.ts";
import type { PanelQuery } from "../../query/query.ts";
// biome-ignore lint/style/noRestrictedImports: until the live data and the card are there
import { FakePanelCard } from "../../test/FakePanelCard.tsx";

export interface PanelCardProps {
  info: PanelInfo;
  state: QueryState;
  /** What is drawn: the last frame and the query that it answers. A placeholder answers another query. */
  drawn: { frame?: Frame; query?: PanelQuery; placeholder: boolean };
  onEnlarge: () => void;
  onRetry: () => void;
  enlarged?: boolean;
}

export const PanelCard: ComponentType<PanelCardProps> = FakePanelCard;
