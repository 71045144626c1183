import { useState } from "react";

/**
 * A large value in words that glows softly for a moment when it changes. Two classes take turns, since an animation only
 * starts anew under another name; the element itself stays.
 */
export function AnimatedNumber({ text, className = "" }: { text: string; className?: string }) {
  const [shown, setShown] = useState({ text, changes: 0 });
  if (shown.text !== text) setShown({ text, changes: shown.changes + 1 });
  const glow = shown.changes === 0 ? "" : shown.changes % 2 === 0 ? "glow-even" : "glow-odd";
  return <span className={`tabular-nums ${glow} ${className}`}>{text}</span>;
}
