import type { BrokenPanelInfo } from "../../live/protocol.ts";
import { splitReason } from "../../panels/cardState.ts";
import { Icon } from "../../ui/icons.tsx";
import { brokenStrings as words } from "./brokenStrings.ts";

/** Panel files that the server cannot load. Folded and below the figures: most viewers cannot do anything about them. */
export default function BrokenPanels({ broken }: { broken: BrokenPanelInfo[] }) {
  return (
    <details className="max-w-3xl" data-broken={broken.length}>
      <summary className="ui-button ui-button-quiet cursor-pointer list-none border-line">
        <Icon name="warning" className="text-warn" />
        {words.brokenPanels(broken.length)}
      </summary>
      <div className="card mt-2 gap-3">
        <p className="text-muted">{words.brokenHint}</p>
        <ul className="flex flex-col gap-3">
          {broken.map(({ file, line, message }) => {
            const { summary, details } = splitReason(message);
            return (
              <li key={file} className="min-w-0 [overflow-wrap:anywhere]">
                <p>{summary}</p>
                <p className="font-mono text-xs text-muted">
                  {file}
                  {line > 0 && `:${line}`}
                </p>
                {details && (
                  <details className="mt-1 text-xs text-muted">
                    <summary className="cursor-pointer">Details</summary>
                    <p className="mt-1 font-mono">{details}</p>
                  </details>
                )}
              </li>
            );
          })}
        </ul>
      </div>
    </details>
  );
}
