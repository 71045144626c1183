import { useMemo } from "react";
import { type Condition, conditionOf } from "./conditions.ts";
import { jsonLines, textOf } from "./json.ts";
import { words } from "./strings.ts";
import { conditionWords } from "./texts.ts";

interface Props {
  json: string;
  label: string;
  /** Values become buttons that add a condition. */
  onFilter?: (condition: Condition) => void;
}

/** Lines beyond are not drawn: properties may have 64 KiB. Copying takes all. */
const MAX_LINES = 2_000;

export function JsonView({ json, label, onFilter }: Props) {
  const lines = useMemo(() => jsonLines(json), [json]);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for inputs
    <div role="group" aria-label={label} className="json" data-json="">
      {lines.slice(0, MAX_LINES).map(({ indent, tokens, path, value }, index) => {
        const text = value === undefined ? "" : textOf(value);
        // Null is as good as missing.
        const condition =
          value === undefined || !onFilter ? undefined : conditionOf(path, value === "null" ? "" : text);
        const label = condition && words.event.filterValue(conditionWords(condition), text);
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: lines of one text have no other identity
          <div key={index} className="json-line" style={{ "--indent": indent } as React.CSSProperties}>
            {tokens.map((token, place) => {
              const isValue = condition !== undefined && token.text === value && token.kind !== "key";
              const shown = token.kind === "punctuation" && token.text === ":" ? ": " : token.text;
              return isValue ? (
                <button
                  // biome-ignore lint/suspicious/noArrayIndexKey: as above
                  key={place}
                  type="button"
                  className={`json-value json-${token.kind}`}
                  title={label}
                  aria-label={label}
                  onClick={() => onFilter?.(condition)}
                >
                  {shown}
                </button>
              ) : (
                // biome-ignore lint/suspicious/noArrayIndexKey: as above
                <span key={place} className={`json-${token.kind}`}>
                  {shown}
                </span>
              );
            })}
          </div>
        );
      })}
    </div>
  );
}
