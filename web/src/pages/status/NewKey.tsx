import { type FormEvent, type ReactNode, useState } from "react";
import { call } from "../../api/client.ts";
import { toFailure } from "../../api/errors.ts";
import type { Key } from "../../api/messages.ts";
import { CREATE_KEY, LIST_KEYS } from "../../api/methods.ts";
import { invalidateCalls } from "../../live/useCall.ts";
import { useSession } from "../../shell/useSession.ts";
import { Button } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { Field, Input } from "../../ui/Field.tsx";
import { SegmentedControl } from "../../ui/SegmentedControl.tsx";
import { showToast } from "../../ui/toast.ts";
import { logInWithFirstKey } from "./firstLogIn.ts";
import { emptyForm, type KeyForm, LIMITS, problemsOf, type Scope, sendsEvents, toRequest } from "./newKey.ts";
import { strings } from "./strings.ts";

const words = strings.newKey;

interface Props {
  /** Whether the server has no keys yet: it requires them from the first one on. */
  first: boolean;
  onClose: () => void;
  onCreated: (key: Key, text: string) => void;
}

export function NewKey(props: Props) {
  const { first, onClose } = props;
  return (
    <Dialog title={words.title} onClose={onClose}>
      {first && (
        <p className="mb-4 rounded-lg bg-sunken p-2">
          <span className="text-warn" aria-hidden="true">
            ▲
          </span>{" "}
          {words.first}
        </p>
      )}
      <Form {...props} />
    </Dialog>
  );
}

const SCOPES: Scope[] = ["write", "browser", "read", "admin"];

const Lines = ({ value, onChange, ...props }: { value: string; onChange: (text: string) => void; id: string }) => (
  <textarea
    {...props}
    rows={2}
    spellCheck={false}
    className="ui-input resize-y py-1.5"
    value={value}
    onChange={(event) => onChange(event.target.value)}
  />
);

function Form({ first, onClose, onCreated }: Props) {
  const project = useSession()?.caller?.project ?? "";
  const [typed, setTyped] = useState<KeyForm>();
  const form = typed ?? { ...emptyForm(project), ...(first && { scope: "admin" as const }) };
  const change = (part: Partial<KeyForm>) => setTyped({ ...form, ...part });
  const [submitted, setSubmitted] = useState(false);
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);
  const problems = submitted ? problemsOf(form) : {};

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setSubmitted(true);
    if (Object.keys(problemsOf(form)).length > 0) return;
    setBusy(true);
    setFailure(undefined);
    try {
      const { key, text } = await call(CREATE_KEY, toRequest(form));
      if (!key) throw new Error("the response has no key");
      // The key is shown at once: if the log-in fails, its text has been there to copy.
      onCreated(key, text);
      if (first)
        await logInWithFirstKey(text).catch((error: Error) => showToast({ title: error.message, type: "error" }));
      await invalidateCalls(LIST_KEYS);
    } catch (error) {
      setFailure(words.failed(toFailure(error).reason));
      setBusy(false);
    }
  };

  return (
    <form noValidate className="flex flex-col gap-4" onSubmit={submit}>
      <Field label={words.name} hint={words.nameHint} error={problems.name}>
        {(control) => (
          <Input
            {...control}
            autoComplete="off"
            value={form.name}
            onChange={(event) => change({ name: event.target.value })}
          />
        )}
      </Field>
      {!first && (
        <Labelled text={words.scope} hint={words.scopeHints[form.scope]}>
          <SegmentedControl
            label={words.scope}
            options={SCOPES.map((value) => ({ value, text: words.scopes[value] }))}
            value={form.scope}
            onChange={(scope) => change({ scope })}
          />
        </Labelled>
      )}
      <Field label={words.project} hint={words.projectHint} error={problems.project}>
        {(control) => (
          <Input
            {...control}
            autoComplete="off"
            spellCheck={false}
            value={form.project}
            onChange={(event) => change({ project: event.target.value })}
          />
        )}
      </Field>
      {form.scope === "browser" && (
        <Field label={words.origins} hint={words.originsHint} error={problems.origins}>
          {(control) => <Lines {...control} value={form.origins} onChange={(origins) => change({ origins })} />}
        </Field>
      )}
      {sendsEvents(form.scope) && (
        <>
          <Field label={words.events} hint={words.eventsHint}>
            {(control) => <Lines {...control} value={form.events} onChange={(events) => change({ events })} />}
          </Field>
          <Limits form={form} problems={problems} onChange={change} />
        </>
      )}
      {failure && (
        <p role="alert" className="ui-error">
          {failure}
        </p>
      )}
      <div className="flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>{words.cancel}</Button>
        <Button kind="primary" type="submit" disabled={busy}>
          {words.create}
        </Button>
      </div>
    </form>
  );
}

const Labelled = ({ text, hint, children }: { text: string; hint: string; children: ReactNode }) => (
  <div className="ui-field items-start">
    <span className="ui-label" aria-hidden="true">
      {text}
    </span>
    {children}
    <p className="ui-hint">{hint}</p>
  </div>
);

interface LimitsProps {
  form: KeyForm;
  problems: ReturnType<typeof problemsOf>;
  onChange: (part: Partial<KeyForm>) => void;
}

const Limits = ({ form, problems, onChange }: LimitsProps) => (
  <details open={LIMITS.some((limit) => problems[limit]) || undefined}>
    <summary className="cursor-pointer py-1 font-medium pointer-coarse:min-h-11">{words.limits}</summary>
    <p className="mb-2 text-xs text-muted">{words.limitsHint}</p>
    <div className="grid gap-3 sm:grid-cols-2">
      {LIMITS.map((limit) => (
        <Field key={limit} label={words.limit[limit]} error={problems[limit]}>
          {(control) => (
            <Input
              {...control}
              inputMode="numeric"
              autoComplete="off"
              value={form.limits[limit]}
              onChange={(event) => onChange({ limits: { ...form.limits, [limit]: event.target.value } })}
            />
          )}
        </Field>
      ))}
    </div>
  </details>
);
