import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ClientProvider, serverTransport } from "./api/client.tsx";
import { App } from "./app/App.tsx";
import { applyStoredTheme } from "./app/useTheme.ts";
import "./index.css";

applyStoredTheme();

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no element #root");
const transport = serverTransport();
createRoot(root).render(
  <StrictMode>
    <ClientProvider transport={transport}>
      <App />
    </ClientProvider>
  </StrictMode>,
);
