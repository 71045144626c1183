import { lazy, Suspense, useEffect, useState } from "react";
import { onToast } from "./toast.ts";

const ToastViewport = lazy(() => import("./ToastViewport.tsx"));

/** Shows the toasts. One per page. */
export function Toaster() {
  const [needed, setNeeded] = useState(false);
  useEffect(() => onToast(() => setNeeded(true)), []);
  return (
    needed && (
      <Suspense>
        <ToastViewport />
      </Suspense>
    )
  );
}
