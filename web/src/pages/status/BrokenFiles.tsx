import { LIST_ANNOTATIONS, LIST_DASHBOARDS, LIST_INSIGHTS } from "../../api/methods.ts";
import { useCall } from "../../live/useCall.ts";
import { useCatalog } from "../../shell/live.ts";
import { Section } from "./Section.tsx";
import { strings } from "./strings.ts";

const words = strings.broken;
const REFRESH_MS = 30_000;

interface BrokenFile {
  kind: string;
  file: string;
  line: number;
  message: string;
}

/** Files of panels, insights and dashboards that the server rejects. */
export function BrokenFiles() {
  const { catalog } = useCatalog();
  const insights = useCall(LIST_INSIGHTS, {}, { refreshMs: REFRESH_MS });
  const dashboards = useCall(LIST_DASHBOARDS, {}, { refreshMs: REFRESH_MS });
  const annotations = useCall(LIST_ANNOTATIONS, {}, { refreshMs: REFRESH_MS });
  const files: BrokenFile[] = [
    ...(catalog?.broken ?? []).map((each) => ({ ...each, kind: words.panel })),
    ...(insights.data?.broken ?? []).map((each) => ({ ...each, kind: words.insight })),
    ...(dashboards.data?.broken ?? []).map((each) => ({ ...each, kind: words.dashboard })),
    ...(annotations.data?.broken ?? []).map((each) => ({ ...each, kind: words.annotation })),
  ];
  // More than one call names a file, if the server cannot tell which one it is.
  const unique = files.filter(
    (each, index) => files.findIndex(({ file, line }) => file === each.file && line === each.line) === index,
  );
  const failure = insights.failure ?? dashboards.failure ?? annotations.failure;
  return (
    <Section title={words.title}>
      {unique.length === 0 && !failure && <p className="text-xs text-muted">{words.none}</p>}
      {failure && <p className="text-xs break-words text-danger">{words.failed(words.insights, failure.reason)}</p>}
      {unique.length > 0 && (
        <ul className="flex flex-col gap-3">
          {unique.map(({ kind, file, line, message }) => (
            <li key={`${file} ${line}`} className="min-w-0">
              <p className="flex flex-wrap items-baseline gap-x-2">
                <span className="text-warn" aria-hidden="true">
                  ▲
                </span>
                <span className="text-xs text-muted">{kind}</span>
                <span className="min-w-0 font-medium break-all">{file}</span>
                {line > 0 && <span className="text-xs text-muted">{words.line(line)}</span>}
              </p>
              <pre className="mt-1 max-h-40 overflow-auto rounded-lg bg-sunken p-2 text-xs break-words whitespace-pre-wrap">
                {message}
              </pre>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}
