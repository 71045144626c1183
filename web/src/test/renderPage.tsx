import { createMemoryHistory, RouterProvider } from "@tanstack/react-router";
import { render } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { StrictMode } from "react";
import { createAppRouter } from "../routes.tsx";

// jsdom has no scrolling.
window.scrollTo = () => {};

/** The whole page at an address, in StrictMode as in production. */
export function renderPage(address: string) {
  const history = createMemoryHistory({ initialEntries: [address] });
  const router = createAppRouter(history);
  const user = userEvent.setup();
  const view = render(
    <StrictMode>
      <RouterProvider router={router} />
    </StrictMode>,
  );
  return { user, router, history, search: () => history.location.search, ...view };
}
