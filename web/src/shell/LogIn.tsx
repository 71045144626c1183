import { type FormEvent, useState } from "react";
import { logIn, type Session } from "../api/session.ts";
import { Button } from "../ui/Button.tsx";
import { Field, Input } from "../ui/Field.tsx";
import { Logo } from "../ui/icons.tsx";
import { logInStrings as words } from "./logInStrings.ts";

/** How the server says in the address that a log-in at the provider has failed. */
const FAILURE = "log_in_error";

function failureWords(provider: string): string | undefined {
  const code = new URLSearchParams(location.search).get(FAILURE);
  if (code === null) return undefined;
  const { failures } = words;
  return (Object.hasOwn(failures, code) ? failures[code as keyof typeof failures] : failures.failed)(provider);
}

/** The address without the failure. */
function pageAddress(): string {
  const { pathname, search } = location;
  const kept = search
    .slice(1)
    .split("&")
    .filter((part) => part !== "" && !part.startsWith(`${FAILURE}=`));
  return kept.length > 0 ? `${pathname}?${kept.join("&")}` : pathname;
}

function providerUrl(url: string): string {
  const target = new URL(url);
  target.searchParams.set("return", pageAddress());
  return target.href;
}

/** In place of the page. The address stays, so that the log-in leads to where it points. */
export default function LogIn({ session: { provider, problem } }: { session: Session }) {
  const [key, setKey] = useState("");
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState(false);
  const failed = problem ?? failureWords(provider?.name ?? "");

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
      if (new URLSearchParams(location.search).has(FAILURE)) location.replace(pageAddress());
      else location.reload();
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
        {failed && (
          <p className="ui-error" role="alert">
            {failed}
          </p>
        )}
        {provider && (
          <>
            <a className="ui-button ui-button-primary" href={providerUrl(provider.url)}>
              {words.provider(provider.name)}
            </a>
            <p className="log-in-or">{words.or}</p>
          </>
        )}
        <Field label={words.key} hint={words.hint} error={error}>
          {(control) => (
            <Input
              {...control}
              type="password"
              name="key"
              autoComplete="current-password"
              spellCheck={false}
              autoFocus={!provider}
              value={key}
              onChange={(event) => {
                setKey(event.target.value);
                setError(undefined);
              }}
            />
          )}
        </Field>
        <Button kind={provider ? "default" : "primary"} type="submit" disabled={busy}>
          {words.submit}
        </Button>
      </form>
    </main>
  );
}
