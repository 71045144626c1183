import { useState } from "react";
import { call } from "../../api/client.ts";
import { type Key, KeyScope, timestampMs } from "../../api/messages.ts";
import { LIST_KEYS, REVOKE_KEY, ROTATE_KEY } from "../../api/methods.ts";
import { formatBytes, formatCount } from "../../lib/format.ts";
import { formatDay } from "../../lib/time.ts";
import { invalidateCalls, useCall } from "../../live/useCall.ts";
import { Button } from "../../ui/Button.tsx";
import { Menu } from "../../ui/Menu.tsx";
import { showToast } from "../../ui/toast.ts";
import { Confirm } from "./Confirm.tsx";
import { NewKey } from "./NewKey.tsx";
import { CELL, ColumnHead, Loaded, Scrolled, Section } from "./Section.tsx";
import { ShownKey, type ShownKeyProps } from "./ShownKey.tsx";
import { strings } from "./strings.ts";

const words = strings.keys;

function limitsText({ limits }: Key): string {
  if (!limits) return words.unlimited;
  const { eventsPerSecond, burst, bytesPerSecond, eventsPerDay, maxStreams, maxRequests } = limits;
  const texts = [
    eventsPerSecond ? words.perSecond(eventsPerSecond) : "",
    burst ? words.burst(burst) : "",
    bytesPerSecond ? words.bytes(formatBytes(bytesPerSecond)) : "",
    eventsPerDay ? words.perDay(formatCount(eventsPerDay)) : "",
    maxStreams ? words.streams(maxStreams) : "",
    maxRequests ? words.requests(maxRequests) : "",
  ];
  return texts.filter(Boolean).join(", ") || words.unlimited;
}

type ChangeKind = "rotate" | "end" | "revoke";

/** What the reader is about to do. */
type Step =
  | { kind: "create"; first: boolean }
  | { kind: ChangeKind; changed: Key }
  | ({ kind: "show" } & Omit<ShownKeyProps, "onClose">);

const nameOf = ({ name, id }: Key): string => name || id;

/** Who may send and read. Without their secrets, which the server does not keep. */
export function Keys({ zone, now }: { zone: string; now: number }) {
  const state = useCall(LIST_KEYS, {});
  const [step, setStep] = useState<Step>();
  const close = () => setStep(undefined);
  const keys = state.data?.keys ?? [];
  return (
    <Section
      title={words.title}
      actions={
        state.data && (
          <Button onClick={() => setStep({ kind: "create", first: keys.length === 0 })}>{words.create}</Button>
        )
      }
    >
      <Loaded state={state} failed={words.failed}>
        {({ keys }) =>
          keys.length === 0 ? (
            <p className="text-xs text-muted">{words.none}</p>
          ) : (
            <KeyTable keys={keys} zone={zone} now={now} onStep={setStep} />
          )
        }
      </Loaded>
      {step?.kind === "create" && (
        <NewKey
          first={step.first}
          onClose={close}
          onCreated={(key, text) => setStep({ kind: "show", shown: key, text, rotated: false })}
        />
      )}
      {step?.kind === "show" && <ShownKey {...step} onClose={close} />}
      {(step?.kind === "rotate" || step?.kind === "end" || step?.kind === "revoke") && (
        <Change {...step} keys={keys} onStep={setStep} />
      )}
    </Section>
  );
}

interface ChangeProps {
  kind: ChangeKind;
  changed: Key;
  keys: Key[];
  onStep: (step: Step | undefined) => void;
}

/** Asks before a key is changed. */
function Change({ kind, changed, keys, onStep }: ChangeProps) {
  const name = nameOf(changed);
  const isLastAdmin =
    changed.scope === KeyScope.ADMIN && keys.filter(({ scope }) => scope === KeyScope.ADMIN).length === 1;
  const texts = {
    rotate: [words.confirmRotate(name), words.confirmRotateText, words.rotate],
    end: [words.confirmEnd(name), words.confirmEndText, words.endRotation],
    revoke: [words.confirmRevoke(name), words.confirmRevokeText, words.revoke],
  } as const;
  const [title, text, action] = texts[kind];
  const confirm = async () => {
    const { id } = changed;
    if (kind === "rotate") {
      const { key, text } = await call(ROTATE_KEY, { id });
      onStep({ kind: "show", shown: key ?? changed, text, rotated: true });
      await invalidateCalls(LIST_KEYS);
    } else {
      await call(REVOKE_KEY, { id, oldSecretsOnly: kind === "end" });
      // Before the dialog closes: a menu of the table that is opened then must not lose an item between press and release.
      await invalidateCalls(LIST_KEYS);
      showToast({ title: kind === "end" ? words.ended(name) : words.revoked(name) });
      onStep(undefined);
    }
  };
  return (
    <Confirm
      title={title}
      action={action}
      cancel={words.cancel}
      danger={kind !== "rotate"}
      failed={words.changeFailed}
      onConfirm={confirm}
      onClose={() => onStep(undefined)}
    >
      <p>{text}</p>
      {kind === "revoke" && isLastAdmin && <p className="text-warn">▲ {words.lastAdmin}</p>}
    </Confirm>
  );
}

interface TableProps {
  keys: Key[];
  zone: string;
  now: number;
  onStep: (step: Step) => void;
}

const KeyTable = ({ keys, zone, now, onStep }: TableProps) => (
  <Scrolled label={words.table}>
    <table className="w-full text-sm">
      <thead>
        <tr>
          {[words.name, words.scope, words.project, words.limits, words.created].map((name) => (
            <ColumnHead key={name}>{name}</ColumnHead>
          ))}
          <ColumnHead>
            <span className="sr-only">{words.action}</span>
          </ColumnHead>
        </tr>
      </thead>
      <tbody>
        {keys.map((key) => (
          <tr key={key.id} className="border-t border-line" data-key={key.id}>
            <th scope="row" className={`${CELL} min-w-40 font-medium`}>
              {key.name} <span className="text-xs font-normal text-muted">{key.id}</span>
              {key.secrets > 1 && <span className="ml-2 text-xs whitespace-nowrap text-warn">▲ {words.rotated}</span>}
            </th>
            <td className={`${CELL} min-w-44`}>
              {words.scopes[key.scope] ?? ""}
              {key.origins.length > 0 && (
                <span className="block text-xs break-all text-muted">
                  {words.from} {key.origins.join(", ")}
                </span>
              )}
              {key.events.length > 0 && (
                <span className="block text-xs break-all text-muted">
                  {words.events} {key.events.join(", ")}
                </span>
              )}
            </td>
            <td className={CELL}>{key.project}</td>
            <td className={`${CELL} min-w-32 tabular-nums`}>{limitsText(key)}</td>
            <td className={`${CELL} whitespace-nowrap text-muted`}>
              {key.createdAt ? formatDay(timestampMs(key.createdAt), zone, now) : "–"}
            </td>
            <td className={`${CELL} text-right`}>
              <Menu
                label={words.actionsOf(nameOf(key))}
                items={[
                  { label: words.rotate, onSelect: () => onStep({ kind: "rotate", changed: key }) },
                  ...(key.secrets > 1
                    ? [{ label: words.endRotation, onSelect: () => onStep({ kind: "end", changed: key }) }]
                    : []),
                  { label: words.revoke, onSelect: () => onStep({ kind: "revoke", changed: key }) },
                ]}
              />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  </Scrolled>
);
