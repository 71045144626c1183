// Runs before the first paint, so that the page does not flash in another theme. The content security policy allows no
// inline scripts, so this is a file of its own.
(() => {
  const root = document.documentElement;
  try {
    const theme = localStorage.getItem("millrace.theme");
    if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  } catch {
    // Storage is disabled: the browser's preference applies.
  }
  if (new URLSearchParams(location.search).get("wall") === "1") root.dataset.wall = "";
})();
