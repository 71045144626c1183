// Icons of the navigation and of the bar, on the same grid as the others.

export const FRAME_PATHS = {
  dashboards: "M3 3h6v8H3zM11 3h6v5h-6zM11 10h6v7h-6zM3 13h6v4H3z",
  explore: "M3 16.5h14M5 13.5l3.5-4l3 2.5L16 6M12.8 5.6H16v3.2",
  live: "M2.5 10.5h3.2l2-6l3.8 11l2.2-5h3.8",
  people:
    "M7.5 9.5a2.9 2.9 0 1 0 0-5.8a2.9 2.9 0 0 0 0 5.8M2.5 16.3c0-2.9 2.2-4.6 5-4.6s5 1.7 5 4.6M13 4.2a2.6 2.6 0 0 1 0 4.9M14.4 12.2c1.9.5 3.1 2 3.1 4.1",
  health:
    "M16 5.5c0 1.5-2.7 2.6-6 2.6S4 7 4 5.5s2.7-2.6 6-2.6s6 1.1 6 2.6M16 5.5v9c0 1.5-2.7 2.6-6 2.6s-6-1.1-6-2.6v-9M4 10c0 1.5 2.7 2.6 6 2.6s6-1.1 6-2.6",
  sidebar: "M3 4h14v12H3zM8 4v12",
  share: "M10 12.5V3M6.5 6L10 2.8L13.5 6M5 9.5H4V17h12V9.5h-1",
  filter: "M3 4.5h14M5.5 10h9M8.5 15.5h3",
  compare: "M3 13.5l4-4.5l3.5 2.5L17 5M3 17l4-3l3.5 1.5L17 11",
  calendar: "M3.5 5h13v12h-13zM3.5 8.8h13M7 3v3M13 3v3",
  plus: "M10 4v12M4 10h12",
  command:
    "M7.5 7.5h5v5h-5zM7.5 7.5V5.4a2.1 2.1 0 1 0-2.1 2.1zM12.5 7.5h2.1a2.1 2.1 0 1 0-2.1-2.1zM12.5 12.5v2.1a2.1 2.1 0 1 0 2.1-2.1zM7.5 12.5H5.4a2.1 2.1 0 1 0 2.1 2.1z",
} as const;
