import { COMPARISONS, type Compare } from "../query/query.ts";
import { strings } from "../strings.ts";
import { Icon } from "../ui/icons.tsx";
import { Select } from "../ui/Select.tsx";

const OPTIONS = (["none", ...COMPARISONS] as const).map((value) => ({ value, label: strings.compare[value] }));

interface Props {
  compare: Compare | undefined;
  onChange: (compare: Compare | undefined) => void;
}

export const CompareControl = ({ compare, onChange }: Props) => (
  <Select
    label={strings.compareLabel}
    value={compare ?? "none"}
    options={OPTIONS}
    className="ui-button-quiet bar-compare"
    onChange={(next) => onChange(next === "none" ? undefined : next)}
  >
    <Icon name="compare" className={compare ? "" : "text-muted"} />
    <span className="bar-compare-word">{compare ? strings.compare[compare] : strings.compareLabel}</span>
  </Select>
);
