// The question: what is counted, of which events, by what.

import { type ReactNode, useId, useState } from "react";
import { EventPicker, PropertyPicker, TypedInput, useEventNames } from "../../shell/pickers/pickers.tsx";
import { Button, IconButton } from "../../ui/Button.tsx";
import { Select, type SelectProps } from "../../ui/Select.tsx";
import { FilterEditor, Problem } from "./FilterEditor.tsx";
import {
  asKind,
  type EventRef,
  eventRef,
  eventsOf,
  type Funnel,
  MEASURES,
  type Measure,
  needsProperty,
  ORDERS,
  type Paths,
  PERIODS,
  type Question,
  type Retention,
  type Series,
  seriesLetter,
  seriesOf,
  type Trend,
  withValue,
} from "./question.ts";
import { asRate, COUNTS, rateOf } from "./rate.ts";
import { failedEvent } from "./starters.ts";
import { words } from "./strings.ts";
import type { Problems } from "./validate.ts";
import { MEASURE_WORDS } from "./words.ts";

interface Props<T extends Question> {
  question: T;
  onChange: (question: Question) => void;
  problems: Problems;
}

export type Tab = "trend" | "funnel" | "retention" | "paths" | "table" | "sql";
const TABS: Tab[] = ["trend", "funnel", "retention", "paths", "table"];

export const tabOf = (question: Question): Tab =>
  question.kind === "trend" && question.chart === "table" ? "table" : question.kind;

/** The question as another kind, with what both have in common. */
export function asTab(question: Question, tab: Exclude<Tab, "sql">): Question {
  const { chart: _, ...other } = asKind(question, tab === "table" ? "trend" : tab);
  return (tab === "table" ? { ...other, chart: "table" } : other) as Question;
}

interface KindsProps {
  tab: Tab;
  /** Whether SQL can be written. */
  sql: boolean;
  onTab: (tab: Tab) => void;
}

export const Kinds = ({ tab, sql, onTab }: KindsProps) => (
  // biome-ignore lint/a11y/useSemanticElements: a fieldset's legend cannot be laid out in a row
  <div role="group" aria-label={words.kind} className="explore-kinds">
    {(sql ? [...TABS, "sql" as const] : TABS).map((each) => (
      <button
        key={each}
        type="button"
        className="ui-segment"
        title={words.kinds[each].hint}
        aria-pressed={each === tab}
        onClick={() => each !== tab && onTab(each)}
      >
        {words.kinds[each].name}
      </button>
    ))}
  </div>
);

export function Builder({ question, onChange, problems }: Props<Question>) {
  return (
    <div className="explore-builder">
      {question.kind === "trend" && <TrendBuilder question={question} onChange={onChange} problems={problems} />}
      {question.kind === "funnel" && <FunnelBuilder question={question} onChange={onChange} problems={problems} />}
      {question.kind === "retention" && (
        <RetentionBuilder question={question} onChange={onChange} problems={problems} />
      )}
      {question.kind === "paths" && <PathsBuilder question={question} onChange={onChange} problems={problems} />}
      <Section title={words.filters}>
        <FilterEditor
          group={question.where}
          event={commonEvent(question)}
          problems={problems}
          path="where"
          onChange={(where) => onChange({ ...question, where })}
        />
        <Problem id={undefined} text={problems.get("where")} />
      </Section>
    </div>
  );
}

/** The event whose properties are offered first: that of all series or steps, or the first one. */
const commonEvent = (question: Question): string => eventsOf(question)[0]?.event ?? "";

const Section = ({ title, action, children }: { title: string; action?: ReactNode; children: ReactNode }) => {
  const id = useId();
  return (
    <section aria-labelledby={id} className="explore-section">
      <div className="flex items-center justify-between">
        <h2 id={id} className="text-xs font-medium text-muted">
          {title}
        </h2>
        {action}
      </div>
      {children}
    </section>
  );
};

const MEASURE_OPTIONS = MEASURES.map((value) => ({ value, label: MEASURE_WORDS[value] }));

interface EventRowProps {
  badge: string;
  /** Above the event. */
  caption?: string;
  color?: string;
  label: string;
  item: EventRef;
  onChange: (item: EventRef) => void;
  remove?: { label: string; run: () => void };
  actions?: ReactNode;
  problems: Problems;
  path: string;
  children?: ReactNode;
}

/** An event with its own conditions. */
function EventRow({ badge, caption, label, item, onChange, remove, actions, problems, path, children }: EventRowProps) {
  const filtered = item.where.items.length > 0;
  const [open, setOpen] = useState(false);
  return (
    <li className="explore-event">
      {caption && <span className="pl-7 text-xs text-muted">{caption}</span>}
      <div className="flex items-center gap-1">
        <span aria-hidden="true" className="explore-badge">
          {badge}
        </span>
        <EventPicker
          label={label}
          value={item.event}
          className="flex-1"
          onChange={(event) => onChange({ ...item, event })}
        />
        <IconButton
          icon="filter"
          label={`${words.filterSeries}, ${label}`}
          aria-expanded={open || filtered}
          className={filtered ? "text-accent" : ""}
          onClick={() => {
            if (!open && !filtered)
              onChange({
                ...item,
                where: { match: "all", items: [{ type: "field", not: false, field: "", op: "is", values: [] }] },
              });
            setOpen(!open);
          }}
        />
        {actions}
        {remove && <IconButton icon="close" label={remove.label} onClick={remove.run} />}
      </div>
      {children && <div className="flex items-center gap-1 pl-7">{children}</div>}
      {(filtered || open) && (
        <div className="pl-7">
          <FilterEditor
            group={item.where}
            event={item.event}
            problems={problems}
            path={`${path}.where`}
            fresh={open}
            onChange={(where) => onChange({ ...item, where })}
          />
        </div>
      )}
    </li>
  );
}

const COUNT_OPTIONS = MEASURE_OPTIONS.filter(({ value }) => COUNTS.includes(value));

interface RateProps extends Omit<Props<Trend>, "question"> {
  question: Trend;
  rate: [part: Series, whole: Series];
  onFormula: () => void;
}

/** Some events as a share of others: a trend of two series whose formula is written already. */
function RateBuilder({ question, onChange, problems, rate, onFormula }: RateProps) {
  const [part, whole] = rate;
  const set = (series: Series[]) => onChange({ ...question, series });
  return (
    <Section title={words.rate}>
      <ul className="flex flex-col gap-2">
        <EventRow
          badge="A"
          caption={words.ratePart}
          label={words.ratePart}
          item={part}
          onChange={(changed) => set([{ ...part, ...changed }, whole])}
          problems={problems}
          path="series.0"
        />
        <EventRow
          badge="B"
          caption={words.rateWhole}
          label={words.rateWhole}
          item={whole}
          onChange={(changed) => set([part, { ...whole, ...changed }])}
          problems={problems}
          path="series.1"
        />
      </ul>
      <Row label={words.per}>
        <WideSelect
          label={words.measure}
          value={part.measure}
          options={COUNT_OPTIONS}
          onChange={(measure: Measure) => set(rate.map((each) => ({ ...each, measure })))}
        />
      </Row>
      <Problem id={undefined} text={problems.get("series") ?? problems.get("formula")} />
      <div className="flex flex-wrap gap-1">
        <Button
          kind="quiet"
          icon="close"
          className="explore-small"
          onClick={() => onChange({ ...question, series: [part], formula: "" })}
        >
          {words.removeRate}
        </Button>
        <Button kind="quiet" className="explore-small" onClick={onFormula}>
          {words.asFormula}
        </Button>
      </div>
    </Section>
  );
}

function TrendBuilder({ question, onChange, problems }: Props<Trend>) {
  const { formula, by } = question;
  const [formulaOpen, setFormulaOpen] = useState(false);
  const rate = formulaOpen ? undefined : rateOf(question);
  const set = (change: Partial<Trend>) => onChange({ ...question, ...change });
  return (
    <>
      {rate ? (
        <RateBuilder
          question={question}
          onChange={onChange}
          problems={problems}
          rate={rate}
          onFormula={() => setFormulaOpen(true)}
        />
      ) : (
        <SeriesBuilder
          question={question}
          onChange={onChange}
          problems={problems}
          showFormula={formula !== "" || formulaOpen}
          onFormula={setFormulaOpen}
        />
      )}
      <Section title={words.breakdown}>
        <Breakdown
          fields={by}
          most={2}
          event={commonEvent(question)}
          problems={problems}
          top={question.top}
          onChange={(fields) => set({ by: fields })}
          onTop={(top) => onChange(withValue(question, "top", top))}
        />
      </Section>
    </>
  );
}

interface SeriesProps extends Props<Trend> {
  showFormula: boolean;
  onFormula: (shown: boolean) => void;
}

function SeriesBuilder({ question, onChange, problems, showFormula, onFormula }: SeriesProps) {
  const { series, formula } = question;
  const { names = [] } = useEventNames();
  const suggested = failedEvent(names) ?? names[0]?.name;
  const id = useId();
  const set = (change: Partial<Trend>) => onChange({ ...question, ...change });
  const replace = (index: number, next: Series) =>
    set({ series: series.map((old, at) => (at === index ? next : old)) });
  return (
    <Section title={words.series}>
      <ul className="flex flex-col gap-2">
        {series.map((each, index) => {
          const letter = seriesLetter(index);
          const problem = problems.get(`series.${index}.property`);
          return (
            <EventRow
              // biome-ignore lint/suspicious/noArrayIndexKey: series have no identity but their letter
              key={index}
              badge={letter}
              label={`${words.seriesLabel(letter)}, ${words.event}`}
              item={each}
              onChange={(changed) => replace(index, { ...each, ...changed })}
              remove={
                series.length > 1
                  ? {
                      label: words.removeSeries(letter),
                      run: () => set({ series: series.filter((_, at) => at !== index) }),
                    }
                  : undefined
              }
              problems={problems}
              path={`series.${index}`}
            >
              <Select
                label={`${words.measure}, ${words.seriesLabel(letter)}`}
                value={each.measure}
                options={MEASURE_OPTIONS}
                className="explore-measure"
                onChange={(measure: Measure) =>
                  replace(index, { ...each, measure, property: needsProperty(measure) ? each.property : "" })
                }
              />
              {needsProperty(each.measure) && (
                <div className="min-w-0 flex-1">
                  <PropertyPicker
                    label={words.ofProperty}
                    event={each.event}
                    numeric
                    value={each.property}
                    className="w-full"
                    onChange={(property) => replace(index, { ...each, property })}
                  />
                  <Problem id={undefined} text={problem} />
                </div>
              )}
            </EventRow>
          );
        })}
      </ul>
      <Problem id={undefined} text={problems.get("series")} />
      <div className="flex flex-wrap gap-1">
        {series.length < 10 && (
          <Button
            kind="quiet"
            icon="plus"
            className="explore-small"
            onClick={() => set({ series: [...series, seriesOf(series.at(-1)?.event ?? "")] })}
          >
            {words.addSeries}
          </Button>
        )}
        {!showFormula && series.length < 3 && (
          <Button
            kind="quiet"
            icon="plus"
            className="explore-small"
            onClick={() => onChange(asRate(question, suggested))}
          >
            {words.addRate}
          </Button>
        )}
        {!showFormula && (
          <Button kind="quiet" icon="plus" className="explore-small" onClick={() => onFormula(true)}>
            {words.addFormula}
          </Button>
        )}
      </div>
      {showFormula && (
        <div className="flex flex-col gap-1">
          <div className="flex items-center gap-1">
            <TypedInput
              label={words.formula}
              value={formula}
              placeholder="100 * B / A"
              invalid={problems.has("formula")}
              describedBy={id}
              onCommit={(text) => {
                // It may be a rate at any moment: the field stays.
                onFormula(true);
                set({ formula: text.trim() });
              }}
            />
            <IconButton
              icon="close"
              label={words.removeFormula}
              onClick={() => {
                onFormula(false);
                set({ formula: "" });
              }}
            />
          </div>
          {problems.has("formula") ? (
            <Problem id={id} text={problems.get("formula")} />
          ) : (
            <p id={id} className="ui-hint">
              {words.formulaHint}
            </p>
          )}
        </div>
      )}
    </Section>
  );
}

const TOP = [3, 5, 10, 20, 50];

interface BreakdownProps {
  fields: string[];
  most: number;
  event: string;
  problems: Problems;
  top: number | undefined;
  onChange: (fields: string[]) => void;
  onTop: (top: number | undefined) => void;
}

function Breakdown({ fields, most, event, problems, top, onChange, onTop }: BreakdownProps) {
  const shown = fields.length < most ? [...fields, ""] : fields;
  return (
    <div className="flex flex-col gap-1">
      {shown.map((field, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the first and the second
        <div key={index}>
          <div className="flex items-center gap-1">
            <PropertyPicker
              label={index === 0 ? words.breakdown : words.secondBreakdown}
              event={event}
              value={field}
              none={index === 0 ? words.noBreakdown : words.secondBreakdown}
              className="flex-1"
              onChange={(chosen) => {
                const next = [...fields];
                if (chosen === "") next.splice(index, 1);
                else next[index] = chosen;
                onChange(next);
              }}
            />
            {field !== "" && (
              <IconButton
                icon="close"
                label={words.removeBreakdown}
                onClick={() => onChange(fields.filter((_, at) => at !== index))}
              />
            )}
          </div>
          <Problem id={undefined} text={problems.get(`by.${index}`)} />
        </div>
      ))}
      <Problem id={undefined} text={problems.get("by")} />
      {fields.length > 0 && (
        <Select
          label={words.top}
          value={String(top ?? 10)}
          text={words.topOptions(top ?? 10)}
          options={TOP.map((count) => ({ value: String(count), label: words.topOptions(count) }))}
          className="ui-button-quiet explore-small self-start"
          onChange={(value) => onTop(value === "10" ? undefined : Number(value))}
        />
      )}
      <Problem id={undefined} text={problems.get("top")} />
    </div>
  );
}

/** A choice beside its name. */
const Row = ({ label, children }: { label: string; children: ReactNode }) => (
  <div className="flex min-w-0 items-center gap-2">
    <span className="w-28 flex-none text-xs text-muted">{label}</span>
    <div className="min-w-0 flex-1">{children}</div>
  </div>
);

/** As wide as its place. Long choices are cut. */
function WideSelect<T extends string>(props: Omit<SelectProps<T>, "className" | "children">) {
  const text = props.options.find(({ value }) => value === props.value)?.label ?? props.value;
  return (
    <Select {...props} className="explore-wide w-full">
      <span className="truncate">{text}</span>
    </Select>
  );
}

/** Options that few need. Open if one of them is set. */
const More = ({ open, children }: { open: boolean; children: ReactNode }) => (
  <details className="explore-more" open={open || undefined}>
    <summary>{words.options}</summary>
    <div className="flex flex-col gap-2 pt-2">{children}</div>
  </details>
);

const WINDOWS = Object.entries(words.windowOptions).map(([value, label]) => ({ value, label }));
const DEFAULT_WINDOW = "1209600";

function FunnelBuilder({ question, onChange, problems }: Props<Funnel>) {
  const { steps, exclusions, order, per, by, attribution } = question;
  const set = (change: Partial<Funnel>) => onChange({ ...question, ...change });
  const replace = (index: number, next: EventRef) =>
    set({ steps: steps.map((old, at) => (at === index ? next : old)) });
  const swap = (index: number) => {
    const next = [...steps];
    const [moved] = next.splice(index, 1);
    if (moved) next.splice(index - 1, 0, moved);
    set({ steps: next });
  };
  const window = String(question.window ?? DEFAULT_WINDOW);
  const offered = WINDOWS.some(({ value }) => value === window);
  const options = offered ? WINDOWS : [...WINDOWS, { value: window, label: `${window} s` }];
  const advanced = order !== "sequential" || exclusions.length > 0 || attribution !== "first";
  return (
    <>
      <Section title={words.steps}>
        <ul className="flex flex-col gap-2">
          {steps.map((step, index) => (
            <EventRow
              // biome-ignore lint/suspicious/noArrayIndexKey: steps have no identity but their number
              key={index}
              badge={String(index + 1)}
              label={`${words.stepLabel(index + 1)}, ${words.event}`}
              item={step}
              onChange={(changed) => replace(index, changed)}
              actions={
                index > 0 && (
                  <IconButton
                    icon="chevronDown"
                    className="explore-up"
                    label={words.moveUp(index + 1)}
                    onClick={() => swap(index)}
                  />
                )
              }
              remove={
                steps.length > 2
                  ? {
                      label: words.removeStep(index + 1),
                      run: () => set({ steps: steps.filter((_, at) => at !== index) }),
                    }
                  : undefined
              }
              problems={problems}
              path={`steps.${index}`}
            />
          ))}
        </ul>
        <Problem id={undefined} text={problems.get("steps")} />
        {steps.length < 10 && (
          <EventPicker
            label={words.addStep}
            value={undefined}
            text={<span className="text-muted">+ {words.addStep}</span>}
            onChange={(event) => set({ steps: [...steps, eventRef(event)] })}
          />
        )}
        <Row label={words.window}>
          <WideSelect
            label={words.window}
            value={window}
            options={options}
            onChange={(value) =>
              onChange(withValue(question, "window", value === DEFAULT_WINDOW ? undefined : Number(value)))
            }
          />
          <Problem id={undefined} text={problems.get("window")} />
        </Row>
        <Row label={words.per}>
          <PropertyPicker
            label={words.per}
            event={commonEvent(question)}
            value={per}
            className="w-full"
            extra={PER}
            onChange={(value) => set({ per: value || "visitor" })}
          />
          <Problem id={undefined} text={problems.get("per")} />
        </Row>
        <More open={advanced}>
          <Row label={words.order}>
            <WideSelect
              label={words.order}
              value={order}
              options={ORDERS.map((value) => ({ value, label: words.orders[value] }))}
              onChange={(value) => set({ order: value })}
            />
          </Row>
          <Row label={words.attribution}>
            <WideSelect
              label={words.attribution}
              value={String(attribution)}
              options={[
                { value: "first", label: words.attributionFirst },
                { value: "last", label: words.attributionLast },
                ...steps.map((_, index) => ({ value: String(index + 1), label: words.attributionStep(index + 1) })),
              ]}
              onChange={(value) => set({ attribution: value === "first" || value === "last" ? value : Number(value) })}
            />
            <Problem id={undefined} text={problems.get("attribution")} />
          </Row>
          <ul className="flex flex-col gap-2">
            {exclusions.map((exclusion, index) => (
              <EventRow
                // biome-ignore lint/suspicious/noArrayIndexKey: exclusions have no identity but their place
                key={index}
                badge="−"
                label={words.exclusions}
                item={exclusion}
                onChange={(changed) =>
                  set({
                    exclusions: exclusions.map((old, at) => (at === index ? { ...old, ...changed } : old)),
                  })
                }
                remove={{
                  label: words.removeExclusion,
                  run: () => set({ exclusions: exclusions.filter((_, at) => at !== index) }),
                }}
                problems={problems}
                path={`exclusions.${index}`}
              >
                <StepSelect
                  label={words.fromStep}
                  value={exclusion.from ?? 1}
                  steps={steps.length}
                  onChange={(from) =>
                    set({ exclusions: exclusions.map((old, at) => (at === index ? { ...old, from } : old)) })
                  }
                />
                <StepSelect
                  label={words.toStep}
                  value={exclusion.to ?? steps.length}
                  steps={steps.length}
                  onChange={(to) =>
                    set({ exclusions: exclusions.map((old, at) => (at === index ? { ...old, to } : old)) })
                  }
                />
                <Problem id={undefined} text={problems.get(`exclusions.${index}.steps`)} />
              </EventRow>
            ))}
          </ul>
          <Button
            kind="quiet"
            icon="plus"
            className="explore-small self-start"
            onClick={() => set({ exclusions: [...exclusions, eventRef("")] })}
          >
            {words.addExclusion}
          </Button>
        </More>
      </Section>
      <Section title={words.breakdown}>
        <Breakdown
          fields={by ? [by] : []}
          most={1}
          event={commonEvent(question)}
          problems={problems}
          top={question.top}
          onChange={([field = ""]) => set({ by: field })}
          onTop={(top) => onChange(withValue(question, "top", top))}
        />
      </Section>
    </>
  );
}

const PER = [
  { value: "visitor", label: words.perVisitor },
  { value: "session", label: words.perSession },
];

const StepSelect = (props: { label: string; value: number; steps: number; onChange: (step: number) => void }) => (
  <Select
    label={props.label}
    value={String(props.value)}
    text={`${props.label} ${props.value}`}
    options={Array.from({ length: props.steps }, (_, index) => ({
      value: String(index + 1),
      label: words.stepLabel(index + 1),
    }))}
    className="explore-small"
    onChange={(value) => props.onChange(Number(value))}
  />
);

const yesNo = (first: string, second: string) => [
  { value: "no", label: first },
  { value: "yes", label: second },
];

function RetentionBuilder({ question, onChange, problems }: Props<Retention>) {
  const { start, back, period, recurring, orAfter, rolling, plain, by } = question;
  const set = (change: Partial<Retention>) => onChange({ ...question, ...change });
  const flag = (
    label: string,
    value: boolean,
    off: string,
    on: string,
    change: (on: boolean) => Partial<Retention>,
  ) => (
    <Row label={label}>
      <WideSelect
        label={label}
        value={value ? "yes" : "no"}
        options={yesNo(off, on)}
        onChange={(chosen) => set(change(chosen === "yes"))}
      />
    </Row>
  );
  return (
    <>
      <Section title={words.start}>
        <ul>
          <EventRow
            badge="1"
            label={words.start}
            item={start}
            onChange={(changed) => set({ start: changed })}
            problems={problems}
            path="start"
          />
        </ul>
      </Section>
      <Section title={words.back}>
        <ul>
          <EventRow
            badge="2"
            label={words.back}
            item={back}
            onChange={(changed) => set({ back: changed })}
            problems={problems}
            path="back"
          />
        </ul>
        <Row label={words.period}>
          <WideSelect
            label={words.period}
            value={period}
            options={PERIODS.map((value) => ({ value, label: words.periods[value] }))}
            onChange={(value) => set({ period: value })}
          />
        </Row>
        <Row label={words.periodCount}>
          <TypedInput
            label={words.periodCount}
            value={String(question.periods ?? 8)}
            inputMode="numeric"
            invalid={problems.has("periods")}
            onCommit={(text) => {
              const periods = Number.parseInt(text, 10);
              onChange(withValue(question, "periods", periods === 8 || Number.isNaN(periods) ? undefined : periods));
            }}
          />
          <Problem id={undefined} text={problems.get("periods")} />
        </Row>
        <p className="ui-hint">{words.rangeUnused(question.periods ?? 8, period)}</p>
        <More open={recurring || orAfter || rolling || plain}>
          {flag(words.cohort, recurring, words.cohortFirst, words.cohortRecurring, (on) => ({ recurring: on }))}
          {flag(words.counts, orAfter, words.countsOn, words.countsAfter, (on) => ({ orAfter: on }))}
          {flag(words.basis, rolling, words.basisCalendar, words.basisRolling, (on) => ({ rolling: on }))}
          {flag(words.mean, plain, words.meanWeighted, words.meanPlain, (on) => ({ plain: on }))}
        </More>
      </Section>
      <Section title={words.breakdown}>
        <Breakdown
          fields={by ? [by] : []}
          most={1}
          event={start.event}
          problems={problems}
          top={question.top}
          onChange={([field = ""]) => set({ by: field })}
          onTop={(top) => onChange(withValue(question, "top", top))}
        />
      </Section>
    </>
  );
}

function PathsBuilder({ question, onChange, problems }: Props<Paths>) {
  const { event, before, only, field } = question;
  const set = (change: Partial<Paths>) => onChange({ ...question, ...change });
  const mode = event ? (before ? "before" : "after") : "start";
  return (
    <Section title={words.pathEvent}>
      <WideSelect
        label={words.pathEvent}
        value={mode}
        options={(["start", "after", "before"] as const).map((value) => ({ value, label: words.pathModes[value] }))}
        onChange={(value) => {
          const { event: old, ...rest } = question;
          if (value === "start") onChange({ ...rest, before: false });
          else onChange({ ...rest, event: old ?? eventRef(""), before: value === "before" });
        }}
      />
      {event && (
        <ul>
          <EventRow
            badge={before ? "→" : "1"}
            label={words.event}
            item={event}
            onChange={(changed) => set({ event: changed })}
            problems={problems}
            path="event"
          />
        </ul>
      )}
      <Row label={words.pathSteps}>
        <WideSelect
          label={words.pathSteps}
          value={String(question.steps ?? 3)}
          options={[1, 2, 3, 4, 5].map((count) => ({ value: String(count), label: String(count) }))}
          onChange={(value) => onChange(withValue(question, "steps", value === "3" ? undefined : Number(value)))}
        />
      </Row>
      <Row label={words.pathField}>
        <PropertyPicker
          label={words.pathField}
          event={event?.event ?? ""}
          value={field}
          none={words.pathEventNames}
          className="w-full"
          onChange={(value) => set({ field: value })}
        />
      </Row>
      <Row label={words.only}>
        <div className="flex flex-col gap-1">
          {only.map((name) => (
            <div key={name} className="flex items-center gap-1">
              <span className="min-w-0 flex-1 truncate">{name}</span>
              <IconButton
                icon="close"
                label={words.removeOnly(name)}
                onClick={() => set({ only: only.filter((other) => other !== name) })}
              />
            </div>
          ))}
          <EventPicker
            label={words.only}
            value={undefined}
            any={false}
            text={<span className="text-muted">+ {words.addOnly}</span>}
            onChange={(name) => !only.includes(name) && set({ only: [...only, name] })}
          />
        </div>
      </Row>
    </Section>
  );
}
