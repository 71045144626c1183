import { Component, type ReactNode } from "react";
import { retryFailedParts } from "../lazyPart.ts";

interface Props {
  /** Rendered instead of the children after they have thrown. `reset` renders them again. */
  fallback: (error: Error, reset: () => void) => ReactNode;
  /** A change renders the children again, for example after new data. */
  resetKey?: unknown;
  children: ReactNode;
}

interface State {
  error?: Error;
  resetKey?: unknown;
}

/** Keeps an error in one part of the page from taking down the rest. */
export class ErrorBoundary extends Component<Props, State> {
  override state: State = { resetKey: this.props.resetKey };

  static getDerivedStateFromError(thrown: unknown): Partial<State> {
    return { error: thrown instanceof Error ? thrown : new Error(String(thrown)) };
  }

  static getDerivedStateFromProps(props: Props, state: State): Partial<State> | null {
    return props.resetKey === state.resetKey ? null : { error: undefined, resetKey: props.resetKey };
  }

  private readonly reset = (): void => {
    retryFailedParts();
    this.setState({ error: undefined });
  };

  override render() {
    const { error } = this.state;
    return error ? this.props.fallback(error, this.reset) : this.props.children;
  }
}
