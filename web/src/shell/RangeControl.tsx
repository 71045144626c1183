import { useState } from "react";
import { lazyPart } from "../lazyPart.ts";
import { FREQUENT_PRESETS, isPreset, PRESETS, type Range, rangeTitle } from "../query/range.ts";
import { strings } from "../strings.ts";
import { SegmentedControl } from "../ui/SegmentedControl.tsx";
import { Select } from "../ui/Select.tsx";

const CustomRange = lazyPart(() => import("./CustomRange.tsx"), "idle");

const BUTTONS = FREQUENT_PRESETS.map((value) => ({ value, text: value, title: rangeTitle(value, "UTC", 0) }));
const OPTIONS = [
  ...PRESETS.map((value) => ({ value: value as string, label: rangeTitle(value, "UTC", 0) })),
  { value: "custom", label: strings.customRange },
];

interface Props {
  range: Range;
  zone: string;
  onChange: (range: Range) => void;
}

/** The frequent ranges as buttons where there is space, and all of them in a list. */
export function RangeControl({ range, zone, onChange }: Props) {
  const [editing, setEditing] = useState(false);
  const title = rangeTitle(range, zone, Date.now());
  const frequent = FREQUENT_PRESETS.includes(range as (typeof FREQUENT_PRESETS)[number]);
  return (
    <div className="flex min-w-0 items-center gap-1">
      <div className="max-sm:hidden">
        <SegmentedControl label={strings.range} options={BUTTONS} value={range as string} onChange={onRange} />
      </div>
      <Select
        label={strings.moreRangesLabel}
        // An interval is none of the options, so that it can be edited by choosing "Custom" again.
        value={typeof range === "string" ? range : "interval"}
        text={title}
        options={OPTIONS}
        className="min-w-0 max-sm:max-w-40"
        onChange={onRange}
      >
        <span className={`truncate ${frequent ? "sm:hidden" : ""}`}>{title}</span>
        {frequent && <span className="max-sm:hidden">{strings.moreRanges}</span>}
      </Select>
      {editing && (
        <CustomRange
          range={range}
          zone={zone}
          onClose={() => setEditing(false)}
          onApply={(interval) => {
            onChange(interval);
            setEditing(false);
          }}
        />
      )}
    </div>
  );

  function onRange(value: string): void {
    if (isPreset(value)) onChange(value);
    else setEditing(true);
  }
}
