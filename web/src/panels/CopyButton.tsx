import { useEffect, useState } from "react";
import { copyToClipboard } from "../lib/download.ts";

type Outcome = "ready" | "copied" | "failed";

const LABELS: Record<Outcome, string> = { ready: "Copy", copied: "Copied", failed: "Copy failed, select the text" };

export function CopyButton({ text }: { text: string }) {
  const [outcome, setOutcome] = useState<Outcome>("ready");
  useEffect(() => {
    if (outcome === "ready") return;
    const timer = setTimeout(() => setOutcome("ready"), 2_000);
    return () => clearTimeout(timer);
  }, [outcome]);
  return (
    <button
      type="button"
      className="button"
      aria-live="polite"
      onClick={async () => setOutcome((await copyToClipboard(text)) ? "copied" : "failed")}
    >
      {LABELS[outcome]}
    </button>
  );
}
