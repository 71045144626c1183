import type { LiveState } from "../live/state.ts";
import { Dialog } from "../panels/Dialog.tsx";
import { PanelCard } from "../panels/PanelCard.tsx";
import type { Display } from "../panels/panel.ts";
import { panelTitle } from "../panels/registry.ts";

interface Props {
  name: string;
  state: LiveState;
  display: Display;
  onRetry: () => void;
  onClose: () => void;
}

export function EnlargedPanel({ name, state, display, onRetry, onClose }: Props) {
  const panel = state.list?.panels.find((listed) => listed.name === name);
  const unknown = state.list && !panel;
  return (
    <Dialog title={unknown ? "Panel not found" : panelTitle(name, panel)} onClose={onClose} wide>
      {unknown ? (
        <p className="text-muted">This server has no panel named {name}.</p>
      ) : (
        <PanelCard
          name={name}
          panel={panel}
          state={state.panels[name]}
          display={display}
          onRetry={onRetry}
          className="min-h-0 flex-1 enlarged"
        />
      )}
    </Dialog>
  );
}
