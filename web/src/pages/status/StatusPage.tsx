import { Link, useSearch } from "@tanstack/react-router";
import { durationMs, timestampMs } from "../../api/messages.ts";
import { LIST_REJECTED_EVENTS } from "../../api/methods.ts";
import { useCall } from "../../live/useCall.ts";
import { useCatalog, useConnection } from "../../shell/live.ts";
import { Page } from "../../shell/Page.tsx";
import { useNow } from "../../shell/useNow.ts";
import { type Search, useView, viewSearch } from "../../shell/view.ts";
import { Button } from "../../ui/Button.tsx";
import { Skeleton } from "../../ui/placeholders.tsx";
import { Administration, useIsAdmin } from "./Administration.tsx";
import { BrokenFiles } from "./BrokenFiles.tsx";
import { Catalogue } from "./Catalogue.tsx";
import { DeadLetters } from "./DeadLetters.tsx";
import { forecastOf } from "./forecast.ts";
import { HealthCards } from "./HealthCards.tsx";
import { lagOf } from "./lag.ts";
import { currentRate, ratesPerSecond } from "./rate.ts";
import { Sources } from "./Sources.tsx";
import { strings } from "./strings.ts";
import { useHealth } from "./useHealth.ts";
import { type Mood, type Rejections, verdictOf } from "./verdict.ts";

const COLORS: Record<Mood, string> = { good: "--good", warn: "--warn", danger: "--danger", unknown: "--other" };

/** Reports come once a second, and the last second has none yet. */
const LAG_MS = 1_500;

const REJECTED_REFRESH_MS = 5_000;

/** Undefined if there are none, and if the reader may not see them: the card has their number. */
function useRejections(serverNow: number): Rejections | undefined {
  const { data } = useCall(LIST_REJECTED_EVENTS, { limit: 1 }, { refreshMs: REJECTED_REFRESH_MS });
  const last = Math.max(...(data?.counts ?? []).map(({ lastAt }) => (lastAt ? timestampMs(lastAt) : 0)));
  if (!data || last <= 0) return undefined;
  const { libraries = [], field = "" } = data.counts[0] ?? {};
  const from = libraries.join(", ") + (libraries.length > 0 && field !== "" ? ` (${field})` : "");
  return { total: Number(data.total), lastAgoMs: Math.max(0, serverNow - last), from };
}

/** How the server is, what it has, and who may use it. */
export default function StatusPage() {
  const [{ zone }] = useView();
  const { clockOffsetMs } = useConnection().state;
  const now = useNow();
  const { health, failure, samples, lags, retry } = useHealth(clockOffsetMs);
  const isAdmin = useIsAdmin();
  const rates = ratesPerSecond(samples, now - LAG_MS);
  const rate = currentRate(rates);
  const serverNow = now + clockOffsetMs;
  const { catalog } = useCatalog();
  const forecast =
    health?.storage &&
    forecastOf(health.storage, health.uptime ? durationMs(health.uptime) : 0, catalog?.eventsRetentionDays ?? 0);
  const verdict = verdictOf(health, failure, rate, useRejections(serverNow), forecast);
  const search = useSearch({ strict: false }) as Search;
  const anyDeadLetters = (health?.deadLetters?.batches ?? 0n) > 0n || Boolean(health?.deadLetters?.error);
  return (
    <Page name={strings.title} uses={["zone"]}>
      <div className="mx-auto flex w-full max-w-7xl flex-col gap-4">
        <section
          aria-label={strings.title}
          data-mood={verdict.mood}
          className="card flex-row flex-wrap items-center gap-3"
        >
          <span
            aria-hidden="true"
            className="size-3 shrink-0 rounded-full"
            style={{ background: `var(${COLORS[verdict.mood]})` }}
          />
          <div className="min-w-0 flex-1">
            <p className="text-base font-semibold">{verdict.title}</p>
            {verdict.detail && <p className="break-words text-muted">{verdict.detail}</p>}
          </div>
          {verdict.rejected && (
            <Link to="/live" search={{ ...viewSearch(search), show: "rejected" } as never} className="ui-button">
              {strings.verdict.seeRejected}
            </Link>
          )}
          {failure !== undefined && <Button onClick={retry}>{strings.retry}</Button>}
        </section>
        {health ? (
          <HealthCards
            health={health}
            rates={rates}
            rate={rate}
            forecast={forecast}
            lag={lagOf(lags, serverNow)}
            now={serverNow}
            linkToLetters={isAdmin}
          />
        ) : (
          failure === undefined && (
            <div role="status" aria-label={strings.loading} className="grid gap-4 sm:grid-cols-2 xl:grid-cols-3">
              {["a", "b", "c", "d", "e", "f"].map((each) => (
                <Skeleton key={each} className="h-48" />
              ))}
            </div>
          )
        )}
        {isAdmin && <DeadLetters any={anyDeadLetters} zone={zone} now={serverNow} />}
        <BrokenFiles />
        <Sources isAdmin={isAdmin} zone={zone} now={serverNow} />
        <Catalogue zone={zone} now={serverNow} />
        <Administration isAdmin={isAdmin} zone={zone} now={serverNow} />
      </div>
    </Page>
  );
}
