// Icons on a 20×20 grid. They are decorative and hidden from screen readers; each button has its own label.

import type { ReactNode } from "react";

const common = {
  viewBox: "0 0 20 20",
  className: "size-5",
  fill: "none",
  stroke: "currentColor",
  strokeWidth: 1.6,
  strokeLinecap: "round",
  strokeLinejoin: "round",
} as const;

const Icon = ({ children }: { children: ReactNode }) => (
  <svg {...common} aria-hidden="true">
    {children}
  </svg>
);

export const SunIcon = () => (
  <Icon>
    <circle cx="10" cy="10" r="3.4" />
    <path d="M10 2v1.6M10 16.4V18M2 10h1.6M16.4 10H18M4.3 4.3l1.2 1.2M14.5 14.5l1.2 1.2M4.3 15.7l1.2-1.2M14.5 5.5l1.2-1.2" />
  </Icon>
);

export const MoonIcon = () => (
  <Icon>
    <path d="M16.5 12.2A7 7 0 0 1 7.8 3.5a7 7 0 1 0 8.7 8.7z" />
  </Icon>
);

export const ExpandIcon = () => (
  <Icon>
    <path d="M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4" />
  </Icon>
);

export const HelpIcon = () => (
  <Icon>
    <circle cx="10" cy="10" r="7.4" />
    <path d="M8 7.8a2 2 0 1 1 2.9 1.8c-.6.3-.9.7-.9 1.5M10 13.8v.1" />
  </Icon>
);

export const Logo = () => (
  <svg viewBox="0 0 32 32" className="size-7" aria-hidden="true">
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
