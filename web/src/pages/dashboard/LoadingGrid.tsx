import { strings } from "../../strings.ts";

const FIRST_CARDS = [
  ...Array.from({ length: 6 }, () => "figure" as const),
  "main" as const,
  "side" as const,
  "half" as const,
  "half" as const,
];

/** The same frame as in index.html, until the dashboard is known. */
export const LoadingGrid = () => (
  <div aria-busy="true">
    <p className="sr-only" role="status">
      {strings.loading}
    </p>
    <div className="board" aria-hidden="true">
      {FIRST_CARDS.map((size, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the list is constant
        <div key={index} className={`first-card first-${size}`}>
          <span className="first-bar" />
        </div>
      ))}
    </div>
  </div>
);
