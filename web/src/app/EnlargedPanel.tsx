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

/** One panel on nearly the whole window. */
export function EnlargedPanel({ name, state, display, onRetry, onClose }: Props) {
  const panel = state.list?.panels.find((listed) => listed.name === name);
  const unknown = state.list && !panel;
  return (
    <Dialog title={unknown ? "No such panel" : panelTitle(name, panel)} onClose={onClose} wide>
      {unknown ? (
        <p className="text-muted">This server has no panel called {name}.</p>
      ) : (
        <PanelCard
          name={name}
          panel={panel}
          live={state.panels[name]}
          display={display}
          onRetry={onRetry}
          className="min-h-0 flex-1 enlarged"
        />
      )}
    </Dialog>
  );
}
