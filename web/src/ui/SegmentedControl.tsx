export interface SegmentedControlProps<T extends string> {
  label: string;
  options: { value: T; text: string; title?: string }[];
  value: T;
  onChange: (value: T) => void;
}

export function SegmentedControl<T extends string>({ label, options, value, onChange }: SegmentedControlProps<T>) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset's legend cannot be laid out in a row
    <div role="group" aria-label={label} className="ui-segments">
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          className="ui-segment"
          title={option.title}
          aria-pressed={option.value === value}
          onClick={() => onChange(option.value)}
        >
          {option.text}
        </button>
      ))}
    </div>
  );
}
