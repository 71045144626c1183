// Parts of the page whose code is loaded when they are first shown.

import { type ComponentType, createElement, type FunctionComponent, lazy, useState } from "react";

interface LazyPart<Props> extends FunctionComponent<Props> {
  /** Loads the code, for example when the pointer is over a trigger. Fails without consequences. */
  preload: () => void;
}

const failed = new Set<() => void>();
const boundaries = new Set<() => void>();

/** Makes the parts that could not be loaded load again, and renders them. */
export function retryFailedParts(): void {
  if (failed.size === 0) return;
  for (const forget of failed) forget();
  failed.clear();
  for (const retry of boundaries) retry();
}

const MIN_WAIT_MS = 2_000;
const MAX_WAIT_MS = 60_000;

/** Error boundaries that caught a failed load render their children again after `retryFailedParts`. */
export function onRetryFailedParts(retry: () => void): () => void {
  boundaries.add(retry);
  return () => boundaries.delete(retry);
}

const idleLoads = new Set<() => void>();

/** Code that must also work while the server cannot be reached, for example of an export. */
export const loadWhenIdle = (load: () => void): void => void idleLoads.add(load);

/** Loads what was registered with `loadWhenIdle`. */
export function loadIdleParts(): void {
  for (const load of idleLoads) load();
  idleLoads.clear();
}

/**
 * Suspends while the code is loaded, and throws if that fails. React's `lazy` alone would keep the failure until the page is
 * reloaded.
 */
export function lazyPart<Props extends object>(
  load: () => Promise<{ default: ComponentType<Props> }>,
  /** Popups are small and are needed at any time: they are loaded in advance. */
  when: "shown" | "idle" = "shown",
): LazyPart<Props> {
  let loading: Promise<{ default: ComponentType<Props> }> | undefined;
  let loaded: ComponentType<Props> | undefined;
  let probing = false;
  const request = () => {
    loading ??= load().then((module) => {
      loaded = module.default;
      return module;
    });
    return loading;
  };
  /** A load can fail in an interruption that the connection does not notice, or after it is back. Meanwhile the page stays as it is. */
  const probe = (wait: number) => {
    probing = true;
    const again = () => probe(Math.min(2 * wait, MAX_WAIT_MS));
    const found = () => {
      probing = false;
      retryFailedParts();
    };
    setTimeout(() => load().then(found, again), wait);
  };
  const create = () =>
    lazy(() => {
      const module = request();
      module.catch(() => {
        failed.add(forget);
        if (!probing) probe(MIN_WAIT_MS);
      });
      return module;
    });
  let suspending = create();
  const forget = () => {
    loading = undefined;
    suspending = create();
  };
  function Part(props: Props) {
    // A part keeps its component, and so its state. What is loaded already does not suspend.
    const [component] = useState<ComponentType<Props>>(() => loaded ?? suspending);
    return createElement(component, props);
  }
  Part.preload = () => void request().catch(forget);
  if (when === "idle") loadWhenIdle(Part.preload);
  return Part;
}
