import { useEffect, useState } from "react";
import { copyToClipboard } from "../lib/download.ts";
import { strings } from "../strings.ts";
import { Button } from "./Button.tsx";

type Outcome = "ready" | "copied" | "failed";

const LABELS: Record<Outcome, string> = { ready: strings.copy, copied: strings.copied, failed: strings.copyFailed };

export function CopyButton({ text }: { text: string }) {
  const [outcome, setOutcome] = useState<Outcome>("ready");
  useEffect(() => {
    if (outcome === "ready") return;
    const timer = setTimeout(() => setOutcome("ready"), 2_000);
    return () => clearTimeout(timer);
  }, [outcome]);
  return (
    <Button
      icon={outcome === "copied" ? "check" : "copy"}
      aria-live="polite"
      onClick={async () => setOutcome((await copyToClipboard(text)) ? "copied" : "failed")}
    >
      {LABELS[outcome]}
    </Button>
  );
}
