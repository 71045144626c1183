// Icons on a 20×20 grid. They are decorative and hidden from screen readers: each control has its own label.

import { BOARD_PATHS } from "./boardIcons.ts";
import { FRAME_PATHS } from "./frameIcons.ts";

const PATHS = {
  ...FRAME_PATHS,
  ...BOARD_PATHS,
  sun: "M10 6.6a3.4 3.4 0 1 0 0 6.8a3.4 3.4 0 0 0 0-6.8M10 2v1.4M10 16.6V18M2 10h1.4M16.6 10H18M4.3 4.3l1 1M14.7 14.7l1 1M4.3 15.7l1-1M14.7 5.3l1-1",
  moon: "M16.5 12.2A7 7 0 0 1 7.8 3.5a7 7 0 1 0 8.7 8.7z",
  expand: "M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4",
  help: "M10 2.6a7.4 7.4 0 1 0 0 14.8a7.4 7.4 0 0 0 0-14.8M8 7.8a2 2 0 1 1 2.9 1.8c-.6.3-.9.7-.9 1.5M10 13.8v.1",
  leave: "M8 3H3.5v14H8M7.5 10H17M13.5 6.5L17 10l-3.5 3.5",
  close: "M5 5l10 10M15 5L5 15",
  check: "M4 10.5l4 4l8-9",
  chevronDown: "M5.5 7.5l4.5 5l4.5-5",
  chevronLeft: "M12.5 4.5l-5 5.5l5 5.5",
  chevronRight: "M7.5 4.5l5 5.5l-5 5.5",
  pause: "M7 4.5v11M13 4.5v11",
  play: "M6.5 4.5l9 5.5l-9 5.5z",
  search: "M9 3.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11M13 13l4 4",
  warning: "M10 3.2l7.6 13.3H2.4zM10 8v4M10 14.2v.1",
  globe:
    "M10 2.6a7.4 7.4 0 1 0 0 14.8a7.4 7.4 0 0 0 0-14.8M2.6 10h14.8M10 2.6c2.4 2.2 3.2 4.6 3.2 7.4s-.8 5.2-3.2 7.4c-2.4-2.2-3.2-4.6-3.2-7.4s.8-5.2 3.2-7.4",
  more: "M4.5 10h.01M10 10h.01M15.5 10h.01",
  copy: "M7.5 7.5h9v9h-9zM12.5 7.5v-4h-9v9h4",
  send: "M3 10l14-6.5l-4.5 13l-3-5z",
} as const;

export type IconName = keyof typeof PATHS;

export const Icon = ({ name, className = "" }: { name: IconName; className?: string }) => (
  <svg
    viewBox="0 0 20 20"
    className={`ui-icon ${className}`}
    fill="none"
    stroke="currentColor"
    strokeWidth={name === "more" ? 2.4 : 1.6}
    strokeLinecap="round"
    strokeLinejoin="round"
    aria-hidden="true"
  >
    <path d={PATHS[name]} />
  </svg>
);

export const Logo = () => (
  <svg viewBox="0 0 32 32" className="size-7 flex-none" aria-hidden="true">
    <rect width="32" height="32" rx="8" fill="#0d1520" />
    <path
      d="M5 12c4-5 7-5 11 0s7 5 11 0M5 21c4-5 7-5 11 0s7 5 11 0"
      fill="none"
      stroke="#2dd4bf"
      strokeWidth="3"
      strokeLinecap="round"
    />
  </svg>
);
