// Figures of charts as buttons, for pages that can show the people behind a figure.

import { createContext, type ReactNode, use } from "react";
import type { Pick } from "../frame/pick.ts";

/** Called with the figure that the reader has chosen. Without it, figures are no buttons. */
export type OnPick = (pick: Pick, words: string) => void;

const PickContext = createContext<OnPick | undefined>(undefined);

export function PickProvider({ onPick, children }: { onPick: OnPick | undefined; children: ReactNode }) {
  return <PickContext value={onPick}>{children}</PickContext>;
}

export const usePick = (): OnPick | undefined => use(PickContext);

interface Props {
  pick: Pick;
  /** What the reader chooses, in words: also the heading of what is shown. */
  words: string;
  label: string;
  className?: string;
  children: ReactNode;
}

/** A button if there is something to show, else only its content. */
export function PickButton({ pick, words, label, className = "", children }: Props) {
  const onPick = usePick();
  if (!onPick) return <span className={className}>{children}</span>;
  return (
    <button
      type="button"
      className={`text-left underline-offset-2 hover:underline pointer-coarse:min-h-11 ${className}`}
      aria-label={label}
      title={label}
      onClick={() => onPick(pick, words)}
    >
      {children}
    </button>
  );
}
