import { mayEdit } from "../../api/mayEdit.ts";
import { useSession } from "../../shell/useSession.ts";

/** Whether the reader may save and write SQL: with an admin key, as an editor or admin, and where no keys are required. */
export function useCanEdit(): boolean {
  const session = useSession();
  // Until the server has said who reads: most may, and buttons should not appear late.
  return session === undefined || mayEdit(session);
}
