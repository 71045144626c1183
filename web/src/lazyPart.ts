// Parts of the page whose code is loaded when they are first shown.

import { type ComponentType, createElement, type FunctionComponent, lazy, useState } from "react";

interface LazyPart<Props> extends FunctionComponent<Props> {
  /** Loads the code, for example when the pointer is over a trigger. Fails without consequences. */
  preload: () => void;
}

const failed = new Set<() => void>();

/** Makes the parts that could not be loaded load again. An error boundary calls it before it renders its children again. */
export function retryFailedParts(): void {
  for (const forget of failed) forget();
  failed.clear();
}

/**
 * Suspends while the code is loaded, and throws if that fails. React's `lazy` alone would keep the failure until the page is
 * reloaded.
 */
export function lazyPart<Props extends object>(
  load: () => Promise<{ default: ComponentType<Props> }>,
): LazyPart<Props> {
  let loading: Promise<{ default: ComponentType<Props> }> | undefined;
  let loaded: ComponentType<Props> | undefined;
  const request = () => {
    loading ??= load().then((module) => {
      loaded = module.default;
      return module;
    });
    return loading;
  };
  const create = () =>
    lazy(() => {
      const module = request();
      module.catch(() => failed.add(forget));
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
  return Part;
}
