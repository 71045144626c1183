// Icons of dashboards and of their editor, on the same grid as the others.

export const BOARD_PATHS = {
  undo: "M7.5 4L3.5 8l4 4M3.5 8H12a4.5 4.5 0 0 1 0 9H8",
  redo: "M12.5 4l4 4l-4 4M16.5 8H8a4.5 4.5 0 0 0 0 9h4",
  star: "M10 2.8l2.2 4.6l5 .7l-3.6 3.5l.9 5L10 14.2l-4.5 2.4l.9-5L2.8 8.1l5-.7z",
  trash: "M3.5 5.5h13M8 5.5v-2h4v2M5 5.5l.8 11.5h8.4L15 5.5M8.3 8.5v5.5M11.7 8.5v5.5",
  edit: "M12.8 4.2l3 3L7 16l-3.8.8L4 13zM11 6l3 3",
} as const;
