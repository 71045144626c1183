// A link to another page. The router's own component can much more, and is not needed for the first view.

import { useNavigate, useRouter } from "@tanstack/react-router";
import type { ComponentProps, MouseEvent } from "react";

interface Props extends Omit<ComponentProps<"a">, "href"> {
  /** Below the path under which the server is reached. */
  to: string;
  search?: object;
}

/** A click with a key, or with another button, is the browser's: it opens a tab or a window. */
const isPlain = (event: MouseEvent): boolean =>
  event.button === 0 && !event.metaKey && !event.altKey && !event.ctrlKey && !event.shiftKey && !event.defaultPrevented;

export function PageLink({ to, search = {}, onClick, ...props }: Props) {
  const router = useRouter();
  const navigate = useNavigate();
  const target = { to, search: search as never };
  return (
    <a
      {...props}
      href={router.history.createHref(router.buildLocation(target).publicHref)}
      onClick={(event) => {
        onClick?.(event);
        if (!isPlain(event)) return;
        event.preventDefault();
        void navigate(target);
      }}
    />
  );
}
