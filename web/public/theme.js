// Runs before the first paint, so that the page does not flash in another theme or layout. The content security policy allows no
// inline scripts, so this is a file of its own.
(() => {
  const root = document.documentElement;
  try {
    const theme = localStorage.getItem("millrace.theme");
    if (theme === "dark" || theme === "light") root.dataset.theme = theme;
    if (localStorage.getItem("millrace.rail") === "pinned") root.dataset.rail = "pinned";
  } catch {
    // Storage is disabled: the browser's preference applies.
  }
  const search = new URLSearchParams(location.search);
  if (search.has("filter")) root.dataset.filtered = "";
  if (search.get("wall") !== "1") return;
  root.dataset.wall = "";
  // A wall has nobody to reload it: if a file of the page could not be loaded, it is tried again when the server answers.
  const retry = () => {
    const again = () => setTimeout(retry, 10_000);
    fetch(document.baseURI, { cache: "no-store" }).then(({ ok }) => (ok ? location.reload() : again()), again);
  };
  let waiting = false;
  const onError = ({ target }) => {
    if (waiting || !(target instanceof HTMLScriptElement || target instanceof HTMLLinkElement)) return;
    waiting = true;
    setTimeout(retry, 10_000);
  };
  addEventListener("error", onError, true);
})();
