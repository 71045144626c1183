// Which component draws a panel.

import type { ComponentType, ReactNode } from "react";
import type { Frame } from "../../frame/frame.ts";
import type { PanelInfo, QueryState } from "../../live/protocol.ts";
import type { PanelQuery } from "../../query/query.ts";
// biome-ignore lint/style/noRestrictedImports: until the live data and the card are there
import { FakePanelCard } from "../../test/FakePanelCard.tsx";

export interface PanelCardProps {
  info: PanelInfo;
  /** Of the selected query. */
  state: QueryState;
  /** The result to draw with the query that it answers. Undefined before the first one. */
  drawn: { frame: Frame; query: PanelQuery; isPlaceholder: boolean } | undefined;
  onRetry: () => void;
  /** Absent if the panel is already enlarged. */
  onEnlarge?: (panel: string) => void;
  /** More in the header of the SQL dialog. */
  sqlActions?: ReactNode;
  className?: string;
}

export const PanelCard: ComponentType<PanelCardProps> = FakePanelCard;
