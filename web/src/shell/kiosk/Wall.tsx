import { useLocation } from "@tanstack/react-router";
import { KioskBar } from "../KioskBar.tsx";
import type { View } from "../view.ts";
import { dashboardOf } from "./rotation.ts";
import { kioskStrings } from "./strings.ts";
import { useRotation } from "./useRotation.ts";
import { useWallScreen } from "./wallScreen.ts";

interface Props {
  view: View;
  /** Of the page. */
  name: string;
  /** Range and filters. */
  label: string;
  past: boolean;
  onLeave: () => void;
}

/** What a wall has besides the figures. */
export default function Wall({ view, name, label, past, onLeave }: Props) {
  useRotation(view);
  useWallScreen(onLeave);
  const { zone, rotate = [] } = view;
  const place = rotate.indexOf(dashboardOf(useLocation().pathname) ?? "");
  const position = rotate.length > 1 && place >= 0 ? kioskStrings.position(place + 1, rotate.length) : undefined;
  return <KioskBar zone={zone} name={name} position={position} label={label} past={past} onLeave={onLeave} />;
}
