import { Suspense, useEffect, useState } from "react";
import { lazyPart } from "../lazyPart.ts";
import { onToast } from "./toast.ts";

const ToastViewport = lazyPart(() => import("./ToastViewport.tsx"));

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
