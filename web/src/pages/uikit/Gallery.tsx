// Every kind of chart and every state of a card, for the development page.

import { PickProvider } from "../../charts/pick.tsx";
import type { QueryState } from "../../live/protocol.ts";
import { PanelCard } from "../../panels/PanelCard.tsx";
import { EXPLORE_SAMPLES } from "../../test/explore.ts";
import { HOUR, START } from "../../test/frames.ts";
import { info, query, SAMPLES, type Sample } from "../../test/panels.ts";
import { showToast } from "../../ui/toast.ts";

const ignore = () => {};
const live: QueryState = { status: "live", since: START + HOUR };
const REJECTED =
  "The panel's query is invalid: there is no column page_ulr.\nCode: 47. DB::Exception: Unknown expression identifier `page_ulr` in scope SELECT page_ulr FROM events.";

const SIZES = { small: "h-40", medium: "h-80 md:col-span-2", large: "h-80 md:col-span-4" };

function Card({
  sample,
  state = live,
  placeholder = false,
  noFrame = false,
}: {
  sample: Sample;
  state?: QueryState;
  placeholder?: boolean;
  noFrame?: boolean;
}) {
  const drawn = noFrame ? undefined : { frame: sample.frame, query: query(sample.info.name), placeholder };
  return (
    <PanelCard
      info={sample.info}
      drawn={drawn}
      state={state}
      onRetry={ignore}
      onEnlarge={ignore}
      className={SIZES[sample.info.size]}
    />
  );
}

export function Gallery() {
  const [area, rate] = SAMPLES;
  const broken = {
    info: info("broken", { title: "Throws while drawing" }),
    frame: { ...SAMPLES[0]?.frame, columns: null },
  } as unknown as Sample;
  if (!area || !rate) return null;
  return (
    <div className="flex flex-col gap-6">
      <h2 className="text-lg font-semibold">Kinds</h2>
      <div className="grid grid-cols-1 gap-4 md:grid-cols-4">
        {SAMPLES.map((sample) => (
          <Card key={sample.info.name} sample={sample} />
        ))}
      </div>
      <h2 className="text-lg font-semibold">Questions of Explore</h2>
      <PickProvider onPick={(_, words) => showToast({ title: words })}>
        <div className="grid grid-cols-1 gap-4 md:grid-cols-4">
          {EXPLORE_SAMPLES.map(({ name, title, chart, query, frame }) => (
            <PanelCard
              key={name}
              info={info(name, { title, chart, top: 50, sql: "" })}
              drawn={{ frame, query, placeholder: false }}
              state={live}
              onRetry={ignore}
              onEnlarge={ignore}
              className={chart === "flow" || chart === "grid" ? "h-[36rem] md:col-span-4" : "h-96 md:col-span-2"}
            />
          ))}
        </div>
      </PickProvider>
      <h2 className="text-lg font-semibold">States</h2>
      <div className="grid grid-cols-1 gap-4 md:grid-cols-4">
        <Card sample={area} state={{ status: "loading", since: 0 }} noFrame />
        <Card sample={area} state={{ status: "loading", since: 0 }} placeholder />
        <Card
          sample={area}
          state={{ status: "stale", since: START + 2 * HOUR, reason: "the server cannot be reached" }}
        />
        <Card sample={rate} state={{ status: "failed", since: 0, reason: REJECTED }} noFrame />
        <Card sample={broken} />
      </div>
    </div>
  );
}
