import { Suspense } from "react";
import { lazyPart } from "../../lazyPart.ts";
import { IconButton } from "../../ui/Button.tsx";
import { Popover } from "../../ui/Popover.tsx";
import { Spinner } from "../../ui/placeholders.tsx";
import { type Condition, formatCondition } from "./conditions.ts";
import { areAlternatives, grouped } from "./grouped.ts";
import { words } from "./strings.ts";
import { conditionSentence, conditionValue } from "./texts.ts";

const ConditionForm = lazyPart(() => import("./ConditionForm.tsx"), "idle");

interface Props {
  conditions: Condition[];
  /** The names that are selected. */
  events: string[];
  onAdd: (conditions: Condition[]) => void;
  onRemove: (condition: Condition) => void;
}

/** The conditions of this page, besides the filters of the bar: "event is login", "or signup", "and plan is not free". */
export function ConditionBar({ conditions, events, onAdd, onRemove }: Props) {
  const shown = grouped(conditions);
  return (
    <>
      {shown.length > 0 && (
        <ul aria-label={words.conditions} className="contents">
          {shown.map((condition, index) => {
            const before = shown[index - 1];
            const isAlternative = before !== undefined && areAlternatives(before, condition);
            const sentence = conditionSentence(condition);
            return (
              <li key={formatCondition(condition)} className="flex min-w-0 items-center gap-1" data-condition="">
                {before && <span className="text-muted">{isAlternative ? words.or : words.and}</span>}
                <span className="condition-chip">
                  <span className="min-w-0 truncate" title={sentence}>
                    {isAlternative ? conditionValue(condition) : sentence}
                  </span>
                  <IconButton
                    icon="close"
                    label={words.removeCondition(sentence)}
                    onClick={() => onRemove(condition)}
                  />
                </span>
              </li>
            );
          })}
        </ul>
      )}
      <Popover
        label={words.addCondition}
        className="ui-button ui-button-quiet"
        content={(close) => (
          <Suspense fallback={<Spinner />}>
            <ConditionForm
              event={events.length === 1 ? (events[0] ?? "") : ""}
              onAdd={(added) => {
                onAdd(added);
                close();
              }}
            />
          </Suspense>
        )}
      >
        {words.addCondition}
      </Popover>
    </>
  );
}
