import { type FormEvent, useEffect, useState } from "react";
import { fetchSession, logIn, type Session } from "../api/session.ts";
import { strings } from "../strings.ts";
import { Button } from "../ui/Button.tsx";
import { Field, Input } from "../ui/Field.tsx";
import { Logo } from "../ui/icons.tsx";
import { useConnection } from "./live.ts";

const words = strings.logIn;

/** Who reads the panels, asked whenever the server lets the page in or rejects it. Undefined until the server has said so. */
export function useSession(): Session | undefined {
  const { phase } = useConnection().state;
  const [session, setSession] = useState<Session>();
  const settled = phase === "denied" || phase === "live" || phase === "polling" ? phase === "denied" : undefined;
  useEffect(() => {
    if (settled === undefined) return;
    const abort = new AbortController();
    // Without a response the banner says what is wrong.
    fetchSession(abort.signal).then(setSession, () => setSession(undefined));
    return () => abort.abort();
  }, [settled]);
  return session;
}

/** In place of the page. The address stays, so that the log-in leads to where it points. */
export function LogIn() {
  const [key, setKey] = useState("");
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState(false);

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (key.trim() === "") {
      setError(words.missing);
      return;
    }
    setBusy(true);
    try {
      await logIn(key.trim());
      // The worker of all tabs begins again with the session.
      location.reload();
    } catch (failure) {
      setError(failure instanceof TypeError ? words.unreachable : String((failure as Error).message));
      setBusy(false);
    }
  }

  return (
    <main className="log-in">
      <form className="log-in-form" aria-labelledby="log-in-title" noValidate data-log-in="" onSubmit={submit}>
        <h1 id="log-in-title" className="shell-mark">
          <Logo />
          {words.title}
        </h1>
        <Field label={words.key} hint={words.hint} error={error}>
          {(control) => (
            <Input
              {...control}
              type="password"
              name="key"
              autoComplete="current-password"
              spellCheck={false}
              autoFocus
              value={key}
              onChange={(event) => {
                setKey(event.target.value);
                setError(undefined);
              }}
            />
          )}
        </Field>
        <Button kind="primary" type="submit" disabled={busy}>
          {words.submit}
        </Button>
      </form>
    </main>
  );
}
