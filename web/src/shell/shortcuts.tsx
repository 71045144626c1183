// Shortcuts of letters, alone or two in a row. They can be switched off, as WCAG 2.1.4 requires.

import { createContext, type ReactNode, use, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { readSetting, subscribeSettings, writeSetting } from "./storage.ts";

export interface Shortcut {
  /** As in `KeyboardEvent.key`, or two of them, one after the other: "g d". */
  key: string;
  /** Shown in the help dialog. */
  description: string;
  run: () => void;
}

const SETTING = "shortcuts";
export const shortcutsEnabled = (): boolean => readSetting(SETTING) !== "off";
export const setShortcutsEnabled = (on: boolean): void => writeSetting(SETTING, on ? null : "off");
export const useShortcutsEnabled = (): boolean => useSyncExternalStore(subscribeSettings, shortcutsEnabled);

class Registry {
  private sets: Shortcut[][] = [];
  private all: Shortcut[] = [];
  private readonly listeners = new Set<() => void>();

  add(shortcuts: Shortcut[]): () => void {
    this.change([...this.sets, shortcuts]);
    return () => this.change(this.sets.filter((set) => set !== shortcuts));
  }
  list = (): Shortcut[] => this.all;
  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  private change(sets: Shortcut[][]) {
    this.sets = sets;
    this.all = sets.flat();
    for (const listener of this.listeners) listener();
  }
}

/** Where a letter is input, or where keys already have a meaning. */
const TYPING = "input, textarea, select, [contenteditable]:not([contenteditable=false]), [role=menu], [role=listbox]";
/** What Space activates. */
const ACTIVATED_BY_SPACE = "button, summary, a[href], [role=button], [role=tab], [tabindex='0']";

function applies(event: KeyboardEvent): boolean {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return false;
  if (event.defaultPrevented || document.querySelector("[role=dialog], [role=alertdialog], [role=menu]")) return false;
  const target = event.target instanceof Element ? event.target : null;
  return !target?.closest(event.key === " " ? `${TYPING}, ${ACTIVATED_BY_SPACE}` : TYPING);
}

const RegistryContext = createContext<Registry | null>(null);

/** How long the first of two keys waits for the second. */
const SEQUENCE_MS = 1_500;

export function ShortcutProvider({ children }: { children: ReactNode }) {
  const registry = useMemo(() => new Registry(), []);
  useEffect(() => {
    let first: { key: string; at: number } | undefined;
    const onKeyDown = (event: KeyboardEvent) => {
      if (!shortcutsEnabled() || !applies(event)) return;
      const begun = first && event.timeStamp - first.at < SEQUENCE_MS ? `${first.key} ` : "";
      first = undefined;
      const pressed = [event.key, event.key.toLowerCase()].map((key) => begun + key);
      const shortcuts = registry.list();
      const found = shortcuts.find(({ key }) => pressed.includes(key));
      if (found) {
        event.preventDefault();
        found.run();
      } else if (begun === "" && shortcuts.some(({ key }) => pressed.some((start) => key.startsWith(`${start} `)))) {
        first = { key: event.key.toLowerCase(), at: event.timeStamp };
      }
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [registry]);
  return <RegistryContext value={registry}>{children}</RegistryContext>;
}

function useRegistry(): Registry {
  const registry = use(RegistryContext);
  if (!registry) throw new Error("no ShortcutProvider");
  return registry;
}

/** Registers shortcuts as long as the component is mounted. Their actions may change from render to render. */
export function useShortcuts(shortcuts: Shortcut[]): void {
  const registry = useRegistry();
  const latest = useRef(shortcuts);
  useEffect(() => {
    latest.current = shortcuts;
  });
  const signature = shortcuts.map(({ key, description }) => `${key}\t${description}`).join("\n");
  useEffect(
    () =>
      registry.add(
        signature.split("\n").map((line) => {
          const [key = "", description = ""] = line.split("\t");
          return { key, description, run: () => latest.current.find((shortcut) => shortcut.key === key)?.run() };
        }),
      ),
    [registry, signature],
  );
}

export function useShortcutList(): Shortcut[] {
  const registry = useRegistry();
  return useSyncExternalStore(registry.subscribe, registry.list);
}
