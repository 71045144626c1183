// Toasts can be raised from anywhere. The library that shows them is loaded with the first one.

export interface ToastOptions {
  title: string;
  description?: string;
  type?: "info" | "error";
  /** A button, for what one wants to do next. */
  action?: { label: string; onSelect: () => void };
}

type Listener = (toast: ToastOptions) => void;
let listener: Listener | undefined;
let queued: ToastOptions[] = [];

export function showToast(toast: ToastOptions): void {
  if (listener) listener(toast);
  else queued.push(toast);
  for (const wake of wakers) wake();
}

const wakers = new Set<() => void>();

/** Called when the first toast is raised. */
export function onToast(wake: () => void): () => void {
  wakers.add(wake);
  return () => wakers.delete(wake);
}

/** The viewport takes over, and receives what was raised while it was loading. */
export function receiveToasts(receive: Listener): () => void {
  listener = receive;
  const waiting = queued;
  queued = [];
  for (const toast of waiting) receive(toast);
  return () => {
    if (listener === receive) listener = undefined;
  };
}
