// Which moment a link shows, and the link.

import { useId, useState } from "react";
import { formatSpan, localTimeZone, offsetLabel, timeZoneLabel } from "../../lib/time.ts";
import { boundsOf, rangeWords } from "../../query/range.ts";
import { CopyButton } from "../../ui/CopyButton.tsx";
import { Field, Input } from "../../ui/Field.tsx";
import { useConnection } from "../live.ts";
import { readView, type Search } from "../view.ts";
import { type Span, sharedLink } from "./link.ts";
import { shareStrings } from "./strings.ts";

interface Props {
  search: Search;
  /** The exact bounds of what is shown, if the page knows them. */
  shown: Span | undefined;
}

export default function SharePopup({ search, shown }: Props) {
  const { clockOffsetMs } = useConnection().state;
  // What is shared does not move while the popup is open.
  const [now] = useState(() => Date.now() + clockOffsetMs);
  const [span] = useState(shown);
  const [frozen, setFrozen] = useState(false);
  const home = localTimeZone();
  const { range, zone } = readView(search, home);
  const isFixed = typeof range !== "string" && range.to !== undefined;
  const bounds = span ?? boundsOf(range, zone, Math.floor(now / 60_000) * 60_000);
  const words = formatSpan(bounds.from, bounds.to, zone, now);
  const zoneText = zone === "UTC" ? zone : `${timeZoneLabel(zone)}, ${offsetLabel(bounds.to, zone)}`;
  const link = sharedLink(location.href, search, home, frozen ? bounds : undefined);
  return (
    <div className="share-popup">
      {isFixed ? (
        <p className="text-muted">{shareStrings.fixedHint(words, zoneText)}</p>
      ) : (
        <fieldset className="share-kinds">
          <legend className="ui-label">{shareStrings.kind}</legend>
          <Kind
            title={shareStrings.moving}
            hint={shareStrings.movingHint(rangeWords(range, zone, now))}
            checked={!frozen}
            onChoose={() => setFrozen(false)}
          />
          <Kind
            title={shareStrings.frozen}
            hint={shareStrings.frozenHint(words, zoneText)}
            checked={frozen}
            onChoose={() => setFrozen(true)}
          />
        </fieldset>
      )}
      <Field label={shareStrings.link} hint={shareStrings.note}>
        {(control) => (
          <div className="flex gap-2">
            <Input {...control} readOnly value={link} onFocus={(event) => event.target.select()} />
            <CopyButton text={link} />
          </div>
        )}
      </Field>
    </div>
  );
}

interface KindProps {
  title: string;
  hint: string;
  checked: boolean;
  onChoose: () => void;
}

function Kind({ title, hint, checked, onChoose }: KindProps) {
  const id = useId();
  return (
    <label className="share-kind">
      <input
        type="radio"
        name="share-kind"
        className="mt-0.5 size-4 flex-none accent-accent"
        aria-describedby={id}
        checked={checked}
        onChange={onChoose}
      />
      <span>
        <span className="block font-medium">{title}</span>
        <span id={id} className="text-muted">
          {hint}
        </span>
      </span>
    </label>
  );
}
