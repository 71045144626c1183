// The time zones to choose from.

import { isTimeZone } from "../lib/time.ts";

/** Browsers list some zones by former names. The zone is the same; people search for its present name. */
const PRESENT_NAMES: Record<string, string> = {
  "Africa/Asmera": "Africa/Asmara",
  "America/Buenos_Aires": "America/Argentina/Buenos_Aires",
  "America/Godthab": "America/Nuuk",
  "Asia/Calcutta": "Asia/Kolkata",
  "Asia/Katmandu": "Asia/Kathmandu",
  "Asia/Rangoon": "Asia/Yangon",
  "Asia/Saigon": "Asia/Ho_Chi_Minh",
  "Atlantic/Faeroe": "Atlantic/Faroe",
  "Europe/Kiev": "Europe/Kyiv",
  "Pacific/Enderbury": "Pacific/Kanton",
};

const presentName = (zone: string): string => {
  const name = PRESENT_NAMES[zone] ?? zone;
  return isTimeZone(name) ? name : zone;
};

/** The visitor's zone and UTC first, then all that the browser knows. */
export function zoneNames(home: string, current: string): string[] {
  return [...new Set([home, "UTC", current, ...Intl.supportedValuesOf("timeZone").map(presentName)])];
}
