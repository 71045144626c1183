import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createAppRouter } from "./routes.tsx";

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no element #root");
const router = createAppRouter();

// The first page is loaded before the skeleton of index.html is replaced.
await router.load();
createRoot(root).render(
  <StrictMode>
    <RouterProvider router={router} />
  </StrictMode>,
);
