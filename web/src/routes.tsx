// The pages of the application. Each is loaded on demand.

import {
  createRootRoute,
  createRoute,
  createRouter,
  type ErrorComponentProps,
  lazyRouteComponent,
  Outlet,
  type RouterHistory,
} from "@tanstack/react-router";
import { type ReactNode, useEffect } from "react";
import { onRetryFailedParts, retryFailedParts } from "./lazyPart.ts";
import { useWallRecovery } from "./shell/kiosk/recovery.ts";
import { Layout } from "./shell/Layout.tsx";
import {
  formatSearch,
  parseSearch,
  RejectedContext,
  rejectedValues,
  type Search,
  validateSearch,
  withoutOwn,
} from "./shell/view.ts";
import { strings } from "./strings.ts";
import { Button } from "./ui/Button.tsx";
import { EmptyState } from "./ui/placeholders.tsx";

function RouteError({ error, reset }: ErrorComponentProps) {
  useEffect(() => onRetryFailedParts(reset), [reset]);
  useWallRecovery();
  return (
    <EmptyState
      title={strings.pageFailed}
      action={
        <div className="flex gap-2">
          <Button
            onClick={() => {
              retryFailedParts();
              reset();
            }}
          >
            {strings.retry}
          </Button>
          <Button onClick={() => location.reload()}>{strings.reload}</Button>
        </div>
      }
    >
      {error instanceof Error ? error.message : String(error)}
    </EmptyState>
  );
}

const NotFound = () => (
  <EmptyState
    title={strings.notFound}
    action={
      <a className="ui-button" href={new URL(document.baseURI).pathname}>
        {strings.toDashboard}
      </a>
    }
  >
    {strings.notFoundHint}
  </EmptyState>
);

/** The path under which the server is reached, from the base element of the document. */
const basePath = (): string => new URL(document.baseURI).pathname;

export function createAppRouter(history?: RouterHistory) {
  const rejected = rejectedValues(parseSearch(history?.location.search ?? location.search));
  const root = createRootRoute({
    validateSearch: (search: Record<string, unknown>) => validateSearch(search as Search),
    component: () => (
      <RejectedContext value={rejected}>
        <Layout>
          <Outlet />
        </Layout>
      </RejectedContext>
    ),
    errorComponent: RouteError,
    notFoundComponent: NotFound,
  });
  const route = (path: string, load: () => Promise<{ default: () => ReactNode }>, validate?: typeof withoutOwn) =>
    createRoute({
      getParentRoute: () => root,
      path,
      validateSearch: validate,
      component: lazyRouteComponent(load),
      errorComponent: RouteError,
    });
  const board = (path: string) => route(path, () => import("./pages/dashboard/DashboardPage.tsx"));
  const page = (path: string, load: Parameters<typeof route>[1]) => route(path, load, withoutOwn);
  const pages = [
    board("/"),
    board("/dashboards/$name"),
    page("/dashboards", () => import("./pages/dashboards/DashboardsPage.tsx")),
    page("/explore", () => import("./pages/explore/ExplorePage.tsx")),
    page("/live", () => import("./pages/live/LivePage.tsx")),
    page("/people", () => import("./pages/people/PeoplePage.tsx")),
    page("/people/$id", () => import("./pages/people/PersonPage.tsx")),
    page("/status", () => import("./pages/status/StatusPage.tsx")),
  ];
  // Every control in every state. Not linked: for development and for tests.
  const uiKit = createRoute({
    getParentRoute: () => root,
    path: "/ui-kit",
    component: lazyRouteComponent(() => import("./pages/uikit/UiKitPage.tsx")),
    errorComponent: RouteError,
  });
  return createRouter({
    routeTree: root.addChildren([...pages, uiKit]),
    history,
    basepath: basePath(),
    parseSearch,
    stringifySearch: (search) => formatSearch(search as Search),
    // Without it, the Back button would also scroll to the top.
    scrollRestoration: true,
    defaultErrorComponent: RouteError,
    defaultNotFoundComponent: NotFound,
  });
}
