import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { call } from "../../api/client.ts";
import { GET_PERSON } from "../../api/methods.ts";
import { queryClient } from "../../live/useCall.ts";
import { Turns } from "./turns.ts";

/** A fast scroll requests nothing. */
const SETTLE_MS = 250;
const STALE_MS = 60_000;
/** Calls at once: each reads from several tables, and a list has dozens of rows. */
const turns = new Turns(2);

/** What a list does not say of a person: read row by row, for the rows that are on the screen, a few at a time. */
export function usePersonDetails(id: string, enabled: boolean) {
  const [settled, setSettled] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(true), SETTLE_MS);
    return () => clearTimeout(timer);
  }, []);
  const { data, isError } = useQuery(
    {
      queryKey: [GET_PERSON.path, "row", id],
      queryFn: ({ signal }) => turns.run(() => call(GET_PERSON, { id }, signal), signal),
      enabled: enabled && settled,
      staleTime: STALE_MS,
      retry: false,
      structuralSharing: false,
    },
    queryClient(),
  );
  return { data, failed: isError };
}
