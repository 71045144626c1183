// The one place where the page meets the server. The transport is injected, so that tests pass in one of their own.

import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { createContext, type ReactNode, useContext, useMemo } from "react";
import { DashboardService } from "../gen/millrace/v1/dashboard_pb.ts";

export type DashboardClient = Client<typeof DashboardService>;

/** The page's own server: it answers gRPC-Web on the port that the page came from. */
export const serverTransport = (): Transport => createGrpcWebTransport({ baseUrl: window.location.origin });

const ClientContext = createContext<DashboardClient | null>(null);

export function ClientProvider({ transport, children }: { transport: Transport; children: ReactNode }) {
  const client = useMemo(() => createClient(DashboardService, transport), [transport]);
  return <ClientContext value={client}>{children}</ClientContext>;
}

export function useClient(): DashboardClient {
  const client = useContext(ClientContext);
  if (!client) throw new Error("useClient needs a ClientProvider above it");
  return client;
}
