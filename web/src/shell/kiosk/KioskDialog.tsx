// Which dashboards kiosk mode shows, and for how long each.

import { useRouter } from "@tanstack/react-router";
import { type RefObject, useState } from "react";
import { LIST_DASHBOARDS } from "../../api/methods.ts";
import { startRange } from "../../api/selection.ts";
import { useCall } from "../../live/useCall.ts";
import { rangeTitle, rangeWords } from "../../query/range.ts";
import { Button } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { Field } from "../../ui/Field.tsx";
import { Spinner } from "../../ui/placeholders.tsx";
import { type BeforeWall, requestFullScreen } from "../kiosk.ts";
import { DEFAULT_RANGE, ROTATION_SECONDS, readView, type Search, type View, writeView } from "../view.ts";
import { dashboardOf, dashboardPath, FIRST_DASHBOARD } from "./rotation.ts";
import { kioskStrings as words } from "./strings.ts";

interface Props {
  view: View;
  before: RefObject<BeforeWall | undefined>;
  /** Called in a click, as full screen needs it. */
  onThisPage: () => void;
  onClose: () => void;
}

const SECONDS = [10, 15, 30, 60, 120, 300];

export default function KioskDialog({ view, before, onThisPage, onClose }: Props) {
  const router = useRouter();
  const onScreen = () => dashboardOf(router.state.location.pathname) ?? FIRST_DASHBOARD;
  const [current] = useState(onScreen);
  const { data, failure } = useCall(LIST_DASHBOARDS, {});
  const [chosen, setChosen] = useState<string[]>(() => view.rotate ?? [current]);
  const [every, setEvery] = useState(view.every ?? ROTATION_SECONDS.usual);
  const [chosenOwn, setOwn] = useState<boolean>();
  const [submitted, setSubmitted] = useState(false);
  const dashboards = data?.dashboards;
  const toggle = (name: string) =>
    setChosen(chosen.includes(name) ? chosen.filter((other) => other !== name) : [...chosen, name]);
  const several = chosen.length > 1;
  // What is on the screen is what goes to the wall, unless it is what every wall begins with.
  const usual = startRange(dashboards?.find(({ name }) => name === current)?.range) ?? DEFAULT_RANGE;
  const own = chosenOwn ?? JSON.stringify(view.range) === JSON.stringify(usual);
  const start = (rotate: string[]) => {
    const [begin] = rotate;
    if (begin === undefined) return;
    onClose();
    requestFullScreen();
    before.current = () => {
      // A range that was chosen on the wall stays. Another dashboard has its own, as it had on the wall.
      if (!readView(router.state.location.search as Search).own) return {};
      return { range: view.range, own: onScreen() === current ? undefined : true };
    };
    const choice = { rotate, ...(several && { every }), ...(own && { own, range: DEFAULT_RANGE }) };
    const search = writeView({ ...view, panel: undefined, wall: true, ...choice });
    void router.navigate({ to: dashboardPath(begin), search: search as never });
  };
  const offered = SECONDS.includes(every) ? SECONDS : [...SECONDS, every].sort((a, b) => a - b);
  return (
    <Dialog title={words.title} onClose={onClose}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          setSubmitted(true);
          // In the order of the list, which is the order on the wall.
          start(dashboards?.map(({ name }) => name).filter((name) => chosen.includes(name)) ?? []);
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
            {several && (
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
            )}
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
          {(several || failure) && (
            <Button
              onClick={() => {
                onClose();
                onThisPage();
              }}
            >
              {words.thisPage}
            </Button>
          )}
        </div>
      </form>
    </Dialog>
  );
}
