// What the bar has for a dashboard: the way to the others, and to its editor.

import { useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { mayEdit } from "../../api/mayEdit.ts";
import type { BoardList } from "../../live/protocol.ts";
import { useConnection, useLive } from "../../shell/live.ts";
import { useShortcuts } from "../../shell/shortcuts.tsx";
import { useSession } from "../../shell/useSession.ts";
import { boardSearch, type Search } from "../../shell/view.ts";
import { Button } from "../../ui/Button.tsx";
import { Combobox } from "../../ui/Combobox.tsx";
import { boardStrings as words } from "./strings.ts";

export type Offered = BoardList;

/** The dashboards of the project, after the first figures: nothing on the screen waits for them. */
export function useOffered(): Offered | undefined {
  const { phase } = useConnection().state;
  const reachable = phase === "live" || phase === "polling";
  const live = useLive();
  const [offered, setOffered] = useState<Offered>();
  useEffect(() => {
    if (!reachable) return;
    let left = false;
    live.call({ method: "boards" }).then(
      (list) => !left && setOffered(list),
      // Without the list there is no choice and no editor; the next connection tries again.
      () => !left && setOffered(undefined),
    );
    return () => {
      left = true;
    };
  }, [reachable, live]);
  return offered;
}

export const pathOf = (name: string): string => (name === "default" ? "/" : `/dashboards/${encodeURIComponent(name)}`);

/** Beside the name of the page. */
export function BoardSwitcher({ name, title, offered }: { name: string; title: string; offered: Offered | undefined }) {
  const navigate = useNavigate();
  if (!offered || offered.dashboards.length < 2) return null;
  return (
    <Combobox
      label={words.switchTo}
      className="max-[60rem]:hidden"
      value={name}
      options={() => offered.dashboards.map((each) => ({ value: each.name, label: each.title, detail: each.name }))}
      placeholder={words.searchDashboards}
      empty={words.noDashboards}
      onChange={(chosen) =>
        void navigate({ to: pathOf(chosen), search: ((search: Search) => boardSearch(search)) as never })
      }
    >
      <span className="sr-only">{title}</span>
    </Combobox>
  );
}

/** Whether the caller may save, and the folder can be written. */
export function useMayEditBoards(offered: Offered | undefined): boolean {
  return mayEdit(useSession()) && offered?.readOnly === false;
}

/** In the bar, which has no space for it on narrow screens. */
export function EditButton({ onEdit }: { onEdit: () => void }) {
  useShortcuts([{ key: "e", description: words.edit, run: onEdit }]);
  return (
    <Button kind="quiet" className="max-[60rem]:hidden" aria-keyshortcuts="e" title={words.edit} onClick={onEdit}>
      {words.editShort}
    </Button>
  );
}
