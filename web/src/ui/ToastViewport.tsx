import { Toast } from "@base-ui/react/toast";
import { useRouter } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { strings } from "../strings.ts";
import { Icon } from "./icons.tsx";
import { receiveToasts } from "./toast.ts";

function Toasts() {
  const { toasts } = Toast.useToastManager();
  return toasts.map((toast) => (
    <Toast.Root key={toast.id} toast={toast} className="ui-toast" data-type={toast.type}>
      <div className="min-w-0 flex-1">
        <Toast.Title className="font-semibold" />
        <Toast.Description className="text-muted" />
        <Toast.Action className="ui-button ui-button-quiet mt-1" />
      </div>
      <Toast.Close className="ui-icon-button" aria-label={strings.dismiss}>
        <Icon name="close" />
      </Toast.Close>
    </Toast.Root>
  ));
}

export default function ToastViewport() {
  const [manager] = useState(() => Toast.createToastManager());
  const router = useRouter({ warn: false });
  useEffect(
    () => router?.subscribe("onBeforeNavigate", ({ pathChanged }) => pathChanged && manager.close()),
    [router, manager],
  );
  useEffect(
    () =>
      receiveToasts(({ title, description, type, action }) => {
        const id = manager.add({
          title,
          description,
          type,
          priority: type === "error" ? "high" : "low",
          ...(action && {
            // The way to what comes next stays until it is dismissed, or another page is opened.
            timeout: 0,
            actionProps: {
              children: action.label,
              onClick: () => {
                action.onSelect();
                manager.close(id);
              },
            },
          }),
        });
      }),
    [manager],
  );
  return (
    <Toast.Provider toastManager={manager} timeout={6_000}>
      <Toast.Portal>
        <Toast.Viewport className="ui-toasts">
          <Toasts />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
}
