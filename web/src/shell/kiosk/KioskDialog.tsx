// Which dashboards kiosk mode shows, and for how long each.

import { useLocation } from "@tanstack/react-router";
import { useState } from "react";
import { LIST_DASHBOARDS } from "../../api/methods.ts";
import { useCall } from "../../live/useCall.ts";
import { rangeTitle, rangeWords } from "../../query/range.ts";
import { Button } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { Field } from "../../ui/Field.tsx";
import { Spinner } from "../../ui/placeholders.tsx";
import { DEFAULT_RANGE, ROTATION_SECONDS, type View } from "../view.ts";
import { dashboardOf, FIRST_DASHBOARD } from "./rotation.ts";
import { kioskStrings as words } from "./strings.ts";

interface Props {
  view: View;
  /** Without dashboards: only the page on the screen. Called in a click, as full screen needs it. */
  onStart: (choice: Partial<View>) => void;
  onClose: () => void;
}

const SECONDS = [10, 15, 30, 60, 120, 300];

export default function KioskDialog({ view, onStart, onClose }: Props) {
  const current = dashboardOf(useLocation().pathname) ?? FIRST_DASHBOARD;
  const { data, failure } = useCall(LIST_DASHBOARDS, {});
  const [chosen, setChosen] = useState<string[]>(() => view.rotate ?? [current]);
  const [every, setEvery] = useState(view.every ?? ROTATION_SECONDS.usual);
  const [own, setOwn] = useState(true);
  const [submitted, setSubmitted] = useState(false);
  const dashboards = data?.dashboards;
  const toggle = (name: string) =>
    setChosen(chosen.includes(name) ? chosen.filter((other) => other !== name) : [...chosen, name]);
  const offered = SECONDS.includes(every) ? SECONDS : [...SECONDS, every].sort((a, b) => a - b);
  return (
    <Dialog title={words.title} onClose={onClose}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          setSubmitted(true);
          // In the order of the list, which is the order on the wall.
          const rotate = dashboards?.map(({ name }) => name).filter((name) => chosen.includes(name)) ?? [];
          if (rotate.length > 0) onStart({ rotate, every, ...(own && { own, range: DEFAULT_RANGE }) });
        }}
      >
        <p className="text-muted">{words.intro}</p>
        {!dashboards && !failure && <Spinner label={words.loading} />}
        {failure && (
          <p className="ui-error" role="alert">
            {words.failed(failure.reason)}
          </p>
        )}
        {dashboards && (
          <>
            <fieldset className="flex flex-col">
              <legend className="ui-label">{words.choose}</legend>
              {dashboards.map(({ name, title, description }) => (
                <label key={name} className="kiosk-choice">
                  <input
                    type="checkbox"
                    className="size-4 flex-none accent-accent"
                    checked={chosen.includes(name)}
                    onChange={() => toggle(name)}
                  />
                  <span className="font-medium">{title || name}</span>
                  <span className="min-w-0 truncate text-muted">{description}</span>
                </label>
              ))}
            </fieldset>
            {submitted && chosen.length === 0 && (
              <p className="ui-error" role="alert">
                {words.none}
              </p>
            )}
            <Field label={words.every}>
              {(control) => (
                <select
                  {...control}
                  className="ui-input max-w-40"
                  value={every}
                  onChange={(event) => setEvery(Number(event.target.value))}
                >
                  {offered.map((seconds) => (
                    <option key={seconds} value={seconds}>
                      {words.seconds(seconds)}
                    </option>
                  ))}
                </select>
              )}
            </Field>
            <Field label={words.range}>
              {(control) => (
                <select
                  {...control}
                  className="ui-input max-w-80"
                  value={own ? "own" : "present"}
                  onChange={(event) => setOwn(event.target.value === "own")}
                >
                  <option value="own">{words.ownRanges(rangeWords(DEFAULT_RANGE, view.zone, 0))}</option>
                  <option value="present">{words.oneRange(rangeTitle(view.range, view.zone, Date.now()))}</option>
                </select>
              )}
            </Field>
          </>
        )}
        <div className="flex flex-wrap gap-2">
          {dashboards && (
            <Button kind="primary" type="submit">
              {words.start}
            </Button>
          )}
          <Button onClick={() => onStart({})}>{words.thisPage}</Button>
        </div>
      </form>
    </Dialog>
  );
}
