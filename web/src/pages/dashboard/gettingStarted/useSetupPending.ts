import { useCallback, useEffect, useSyncExternalStore } from "react";
import { readSetting, subscribeSettings, writeSetting } from "../../../shell/storage.ts";

const SETTING = "setup";
const isPending = () => readSetting(SETTING) === "pending";

/** Whether this browser has watched a server without events, and not yet finished or dismissed the checklist. */
export function useSetupPending(hasEvents: boolean | undefined): [boolean, () => void] {
  const pending = useSyncExternalStore(subscribeSettings, isPending);
  useEffect(() => {
    if (hasEvents === false && !isPending()) writeSetting(SETTING, "pending");
  }, [hasEvents]);
  return [pending, useCallback(() => writeSetting(SETTING, null), [])];
}
