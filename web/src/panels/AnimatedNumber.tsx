import { useState } from "react";

/**
 * Text that glows briefly when it changes. The class alternates between two animations of the same look, because CSS
 * restarts an animation only when its name changes.
 */
export function AnimatedNumber({ text, className = "" }: { text: string; className?: string }) {
  const [shown, setShown] = useState({ text, changes: 0 });
  if (shown.text !== text) setShown({ text, changes: shown.changes + 1 });
  const glow = shown.changes === 0 ? "" : shown.changes % 2 === 0 ? "glow-even" : "glow-odd";
  return <span className={`tabular-nums ${glow} ${className}`}>{text}</span>;
}
