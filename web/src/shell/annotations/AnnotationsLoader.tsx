import { useEffect, useRef } from "react";
import { timestampMs } from "../../api/messages.ts";
import { LIST_ANNOTATIONS } from "../../api/methods.ts";
import type { Annotation } from "../../charts/annotations.ts";
import { invalidateCalls, useCall } from "../../live/useCall.ts";

interface Props {
  /** Of the files, from the heartbeats. */
  version: string | undefined;
  onLoaded: (list: readonly Annotation[], readOnly: boolean) => void;
}

/** Loads the annotations, and again whenever a file has changed. The dialog of the annotations says why that has failed. */
export default function AnnotationsLoader({ version, onLoaded }: Props) {
  // Heartbeats say when the list has changed.
  const { data } = useCall(LIST_ANNOTATIONS, {}, { staleMs: Number.POSITIVE_INFINITY });
  const known = useRef(version);
  useEffect(() => {
    if (known.current !== undefined && known.current !== version) void invalidateCalls(LIST_ANNOTATIONS);
    known.current = version;
  }, [version]);
  useEffect(() => {
    if (!data) return;
    const list = data.annotations.flatMap(({ name, title, description, at }) =>
      at ? { name, title, description, at: timestampMs(at) } : [],
    );
    onLoaded(
      list.sort((a, b) => a.at - b.at),
      data.readOnly,
    );
  }, [data, onLoaded]);
  return null;
}
