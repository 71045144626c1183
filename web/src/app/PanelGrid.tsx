import type { LiveState } from "../live/state.ts";
import { PanelCard } from "../panels/PanelCard.tsx";
import type { Display } from "../panels/panel.ts";
import { layoutPanels } from "./layout.ts";

interface Props {
  state: LiveState;
  display: Display;
  wall: boolean;
  onRetry: () => void;
  onEnlarge: (name: string) => void;
}

/** The main panels in two columns, then number panels, then the others. Wall mode shows only the main panels. */
export function PanelGrid({ state, display, wall, onRetry, onEnlarge }: Props) {
  const listed = new Map(state.list?.panels.map((panel) => [panel.name, panel]));
  const { main, small, wide } = layoutPanels(state.list?.panels);
  const card = (name: string, className: string) => (
    <PanelCard
      key={name}
      name={name}
      panel={listed.get(name)}
      state={state.panels[name]}
      display={display}
      onRetry={onRetry}
      onEnlarge={onEnlarge}
      className={className}
    />
  );
  if (wall) {
    return (
      <div className="grid min-h-0 flex-1 gap-4 lg:grid-cols-2 lg:grid-rows-2" data-grid="main">
        {main.map((name) => card(name, "min-h-80 lg:min-h-0"))}
      </div>
    );
  }
  return (
    <>
      <div className="grid gap-4 lg:grid-cols-2" data-grid="main">
        {main.map((name) => card(name, "h-96"))}
      </div>
      <div className="mt-4 grid gap-4 lg:grid-cols-[repeat(auto-fit,minmax(22rem,1fr))]" data-grid="numbers">
        {small.map((name) => card(name, "min-h-44"))}
      </div>
      <div className="mt-4 grid gap-4 lg:grid-cols-2" data-grid="more">
        {wide.map((name) => card(name, "h-96"))}
      </div>
    </>
  );
}
