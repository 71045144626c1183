import { LIST_SETTINGS } from "../../api/methods.ts";
import { Code, StatusError } from "../../api/status.ts";
import { useCall } from "../../live/useCall.ts";
import { Keys } from "./Keys.tsx";
import { Section } from "./Section.tsx";
import { Settings } from "./Settings.tsx";
import { SlowPanels } from "./SlowPanels.tsx";
import { strings } from "./strings.ts";

/** Whether the reader is an administrator. True until the server has said that it is not so. */
export function useIsAdmin(): boolean {
  const { error } = useCall(LIST_SETTINGS, {});
  return !(error instanceof StatusError && error.code === Code.PermissionDenied);
}

/** What only administrators see. The others get one sentence. */
export function Administration({ isAdmin, zone, now }: { isAdmin: boolean; zone: string; now: number }) {
  if (!isAdmin) {
    return (
      <Section title={strings.admin.title}>
        <p className="text-muted">{strings.admin.hint}</p>
      </Section>
    );
  }
  return (
    <>
      <SlowPanels zone={zone} now={now} />
      <Keys zone={zone} now={now} />
      <Settings />
    </>
  );
}
