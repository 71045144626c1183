import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { LiveProvider } from "./live/hooks.tsx";
import { LiveStore } from "./live/store.ts";
import { createAppRouter } from "./routes.tsx";
import { loadFonts } from "./ui/fonts.ts";

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no element #root");

// Started first: the worker connects while the page loads.
const store = new LiveStore();
store.start();
const unsubscribe = store.subscribeConnection(() => {
  if (store.connection().phase === "connecting") return;
  unsubscribe();
  loadFonts();
});

const router = createAppRouter();
// The first page is loaded before the skeleton of index.html is replaced.
await router.load();
createRoot(root).render(
  <StrictMode>
    <LiveProvider store={store}>
      <RouterProvider router={router} />
    </LiveProvider>
  </StrictMode>,
);
