import { useEffect, useState } from "react";
import { lazyPart } from "../lazyPart.ts";
import { OptionalPart } from "./ErrorBoundary.tsx";
import { onToast } from "./toast.ts";

const ToastViewport = lazyPart(() => import("./ToastViewport.tsx"), "idle");

/** Shows the toasts. One per page. */
export function Toaster() {
  const [needed, setNeeded] = useState(false);
  useEffect(() => onToast(() => setNeeded(true)), []);
  return (
    needed && (
      <OptionalPart>
        <ToastViewport />
      </OptionalPart>
    )
  );
}
