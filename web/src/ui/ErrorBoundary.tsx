import { Component, type ReactNode, Suspense } from "react";
import { createPortal } from "react-dom";
import { onRetryFailedParts, retryFailedParts } from "../lazyPart.ts";
import { strings } from "../strings.ts";
import { Icon } from "./icons.tsx";
import { usePopupContainer } from "./popupContainer.ts";

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

  private stopListening: (() => void) | undefined;

  override componentDidMount() {
    this.stopListening = onRetryFailedParts(() => this.setState({ error: undefined }));
  }

  override componentWillUnmount() {
    this.stopListening?.();
    // A popup that is closed and opened again is loaded again.
    if (this.state.error) retryFailedParts();
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

interface OptionalPartProps {
  /** Closes the part. A failure is not shown if it is absent. */
  onClose?: () => void;
  children: ReactNode;
}

/** Content that is loaded on demand and that the page works without, for example a popup. A failure says so beside the page. */
export function OptionalPart({ onClose, children }: OptionalPartProps) {
  const container = usePopupContainer();
  return (
    <ErrorBoundary
      fallback={(_, retry) =>
        onClose &&
        createPortal(
          <div role="alert" data-part-failed="" className="ui-toasts">
            <div className="ui-toast" data-type="error">
              <p className="min-w-0 flex-1">{strings.partFailed}</p>
              <button type="button" className="ui-button" onClick={retry}>
                {strings.retry}
              </button>
              <button type="button" className="ui-button" onClick={() => location.reload()}>
                {strings.reload}
              </button>
              <button type="button" className="ui-icon-button" aria-label={strings.dismiss} onClick={onClose}>
                <Icon name="close" />
              </button>
            </div>
          </div>,
          container ?? document.body,
        )
      }
    >
      <Suspense>{children}</Suspense>
    </ErrorBoundary>
  );
}
