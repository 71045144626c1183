import { useEffect, useMemo, useRef } from "react";
import type { Selection } from "../../query/query.ts";
import { RangeControl } from "../../shell/RangeControl.tsx";
import type { View } from "../../shell/view.ts";
import { strings } from "../../strings.ts";
import { Button, IconButton } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import type { Shown } from "./board/items.ts";
import { enlargedStrings as words } from "./enlargedStrings.ts";
import { PanelSlot } from "./PanelSlot.tsx";
import { useParametersOfPage } from "./parameters.tsx";

interface Props {
  name: string;
  /** In the order of the page. */
  panels: Shown[];
  view: View;
  /** What of the view is shown. */
  selection: Selection;
  onView: (change: Partial<View>) => void;
}

/** One panel in a dialog, with the range and the way to its neighbours. */
export default function EnlargedPanel({ name, panels, view, selection, onView }: Props) {
  const index = panels.findIndex(({ info }) => info.name === name);
  const shown = panels[index];
  const close = () => onView({ panel: undefined });
  const go = (step: number) => {
    const next = panels[(index + step + panels.length) % panels.length];
    if (next) onView({ panel: next.info.name });
  };
  const { values } = useParametersOfPage();
  const query = useMemo(() => shown?.query(selection, values), [shown, selection, values]);
  useArrowKeys(shown ? go : undefined);

  if (!shown || !query) {
    return (
      <Dialog title={words.panelNotFound} onClose={close}>
        <p className="mb-4">{words.panelNotFoundHint(name)}</p>
        <Button className="self-start" onClick={close}>
          {strings.toDashboard}
        </Button>
      </Dialog>
    );
  }
  return (
    <Dialog
      title={shown.info.title}
      onClose={close}
      wide
      actions={
        <>
          <IconButton icon="chevronLeft" label={words.previousPanel} shortcut="←" onClick={() => go(-1)} />
          <IconButton icon="chevronRight" label={words.nextPanel} shortcut="→" onClick={() => go(1)} />
        </>
      }
    >
      <div className="mb-4 flex-none">
        <RangeControl range={view.range} zone={view.zone} onChange={(range) => onView({ range })} />
      </div>
      <PanelSlot key={name} info={shown.info} query={query} selection={selection} />
    </Dialog>
  );
}

/** What moves with the arrows itself: also charts and regions that scroll, which are focusable for that. */
const OWN_ARROWS = "input, textarea, select, [tabindex='0']:not(button), [role=tablist], [role=menu], [role=listbox]";

function useArrowKeys(go: ((step: number) => void) | undefined): void {
  const latest = useRef(go);
  useEffect(() => {
    latest.current = go;
  });
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const step = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
      if (step === 0 || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
      // Another dialog or a menu on top of this one.
      if (document.querySelectorAll("[role=dialog]").length > 1 || document.querySelector("[role=menu]")) return;
      if (event.target instanceof Element && event.target.closest(OWN_ARROWS)) return;
      latest.current?.(step);
    };
    // Capturing, because the dialog keeps arrow keys from what surrounds it.
    window.addEventListener("keydown", onKeyDown, true);
    return () => window.removeEventListener("keydown", onKeyDown, true);
  }, []);
}
