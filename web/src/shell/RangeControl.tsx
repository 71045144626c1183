import type { ReactNode } from "react";
import { lazyPart } from "../lazyPart.ts";
import { DAY } from "../lib/time.ts";
import { type Range, rangeTitle } from "../query/range.ts";
import { strings } from "../strings.ts";
import { IconButton } from "../ui/Button.tsx";
import { Icon } from "../ui/icons.tsx";
import { Popover } from "../ui/Popover.tsx";
import { useCatalog, useConnection } from "./live.ts";
import { stepped } from "./range/step.ts";
import { frameStrings } from "./strings.ts";

const RangePopup = lazyPart(() => import("./range/RangePopup.tsx"), "idle");

interface Props {
  range: Range;
  zone: string;
  onChange: (range: Range) => void;
  /** Further controls in the popup, on phones. */
  extras?: ReactNode;
}

/** The span before or after the range, as far as there is one. */
export function useSteps(range: Range, zone: string): { back: Range | undefined; forward: Range | undefined } {
  const { catalog } = useCatalog();
  const { clockOffsetMs } = useConnection().state;
  const now = Date.now() + clockOffsetMs;
  const days = catalog?.rollupRetentionDays ?? 0;
  const oldest = days === 0 ? undefined : now - days * DAY;
  return { back: stepped(range, zone, now, -1, oldest), forward: stepped(range, zone, now, 1) };
}

/** The range in words, which opens the choice, between steps back and forward by its length. */
export function RangeControl({ range, zone, onChange, extras }: Props) {
  const { back, forward } = useSteps(range, zone);
  const title = rangeTitle(range, zone, Date.now());
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset's legend cannot be laid out in a row
    <div role="group" aria-label={strings.range} className="range-control">
      <IconButton
        icon="chevronLeft"
        label={frameStrings.steps.back}
        shortcut="["
        className="range-step"
        disabled={!back}
        onClick={() => back && onChange(back)}
      />
      <Popover
        label={frameStrings.openRange}
        aria-label={`${strings.range}: ${title}`}
        className="ui-button range-button"
        data-range=""
        align="end"
        content={(close) => (
          <RangePopup
            range={range}
            zone={zone}
            extras={extras}
            onChange={(next) => {
              onChange(next);
              close();
            }}
          />
        )}
      >
        <Icon name="calendar" className="range-icon text-muted" />
        <span className="truncate">{title}</span>
        <Icon name="chevronDown" className="text-muted" />
      </Popover>
      <IconButton
        icon="chevronRight"
        label={frameStrings.steps.forward}
        shortcut="]"
        className="range-step"
        disabled={!forward}
        onClick={() => forward && onChange(forward)}
      />
    </div>
  );
}

/** Opens the choice of the range, for a key or a command. */
export const openRange = (): void => document.querySelector<HTMLElement>(".bar [data-range]")?.click();
