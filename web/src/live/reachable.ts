// Who wants to know that the server can be reached again: what has failed meanwhile is requested again.

const listeners = new Set<() => void>();

export function onReachable(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function notifyReachable(): void {
  for (const listener of listeners) listener();
}
