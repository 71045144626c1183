// The annotations of all charts, loaded once for the page, and what is needed to change them.

import { type ReactNode, Suspense, useCallback, useMemo, useState } from "react";
import { mayEdit } from "../../api/mayEdit.ts";
import type { Session } from "../../api/session.ts";
import type { Annotation, Annotations } from "../../charts/annotations.ts";
import { lazyPart } from "../../lazyPart.ts";
import { OptionalPart } from "../../ui/ErrorBoundary.tsx";
import { useConnection } from "../live.ts";

const Loader = lazyPart(() => import("./AnnotationsLoader.tsx"));
const AnnotationsDialog = lazyPart(() => import("./AnnotationsDialog.tsx"), "idle");

const NONE: readonly Annotation[] = [];

export interface AnnotationParts {
  /** For the charts. */
  annotations: Annotations;
  /** Opens the list. */
  open: () => void;
  /** Loads the annotations, and shows the dialog. */
  parts: ReactNode;
}

/** `shown`: whether the page has charts over time. */
export function useAnnotationParts(session: Session | undefined, shown: boolean): AnnotationParts {
  const { phase, insightsVersion } = useConnection().state;
  // Charts come first: they are drawn before there are annotations.
  const reachable = phase === "live" || phase === "polling";
  const [{ list, readOnly }, setLoaded] = useState({ list: NONE, readOnly: true });
  const [opened, setOpened] = useState<"list" | "new">();
  const editable = mayEdit(session);
  const add = useCallback(() => setOpened("new"), []);
  const open = useCallback(() => setOpened("list"), []);
  const onLoaded = useCallback((list: readonly Annotation[], readOnly: boolean) => setLoaded({ list, readOnly }), []);
  const canAdd = editable && !readOnly;
  const annotations = useMemo(() => ({ list, ...(canAdd && { add }) }), [list, canAdd, add]);
  const parts = (
    <>
      {shown && reachable && (
        <OptionalPart>
          <Suspense>
            <Loader version={insightsVersion} onLoaded={onLoaded} />
          </Suspense>
        </OptionalPart>
      )}
      {opened && (
        <OptionalPart onClose={() => setOpened(undefined)}>
          <AnnotationsDialog
            adding={opened === "new"}
            editable={editable}
            project={session?.caller && session.caller.projects.length > 1 ? session.caller.project : ""}
            onClose={() => setOpened(undefined)}
          />
        </OptionalPart>
      )}
    </>
  );
  return { annotations, open, parts };
}
