// Where the page gets its live data from. The shell and the pages import it only from here.

// biome-ignore lint/style/noRestrictedImports: until the live data and the card are there
export { useConnection, useLastFrame, useLive, useQueryState } from "../test/fakeLive.ts";
