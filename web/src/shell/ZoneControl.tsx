import { useCallback } from "react";
import { localTimeZone, offsetLabel, timeZoneLabel } from "../lib/time.ts";
import { strings } from "../strings.ts";
import { Combobox } from "../ui/Combobox.tsx";
import { Icon } from "../ui/icons.tsx";
import { zoneNames } from "./zones.ts";

export function ZoneControl({ zone, onChange }: { zone: string; onChange: (zone: string) => void }) {
  const options = useCallback(() => {
    const home = localTimeZone();
    const now = Date.now();
    return zoneNames(home, zone).map((name) => ({
      value: name,
      label: name.replaceAll("_", " "),
      detail: name === home ? `${offsetLabel(now, name)}, ${strings.zoneHome}` : offsetLabel(now, name),
    }));
  }, [zone]);
  return (
    <Combobox
      label={strings.zone}
      value={zone}
      options={options}
      onChange={onChange}
      placeholder={strings.zoneSearch}
      empty={strings.zoneNone}
      className="bar-zone max-w-72 flex-none min-w-[var(--target)]"
    >
      <Icon name="globe" className="text-muted" />
      <span className="truncate">{timeZoneLabel(zone)}</span>
      {zone !== "UTC" && <span className="font-normal text-muted max-lg:hidden">{offsetLabel(Date.now(), zone)}</span>}
    </Combobox>
  );
}
