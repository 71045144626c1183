// The time zones to choose from.

/** The offset of a zone at an instant, for example "UTC+05:30". */
export function zoneOffset(zone: string, at: number): string {
  const parts = new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" }).formatToParts(at);
  const offset = parts.find(({ type }) => type === "timeZoneName")?.value.replace("GMT", "") ?? "";
  return offset ? `UTC${offset.replace("-", "−")}` : "UTC";
}

/** The visitor's zone and UTC first, then all that the browser knows. */
export function zoneNames(home: string, current: string): string[] {
  return [...new Set([home, "UTC", current, ...Intl.supportedValuesOf("timeZone")])];
}
