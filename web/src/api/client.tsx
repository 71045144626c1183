// The gRPC-Web client. The transport is injected, so that tests can use an in-memory one.

import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { createContext, type ReactNode, useContext, useMemo } from "react";
import { DashboardService } from "../gen/millrace/v1/dashboard_pb.ts";

export type DashboardClient = Client<typeof DashboardService>;

/** The server that serves the page also serves gRPC-Web on the same port. */
export const serverTransport = (): Transport => createGrpcWebTransport({ baseUrl: window.location.origin });

const ClientContext = createContext<DashboardClient | null>(null);

export function ClientProvider({ transport, children }: { transport: Transport; children: ReactNode }) {
  const client = useMemo(() => createClient(DashboardService, transport), [transport]);
  return <ClientContext value={client}>{children}</ClientContext>;
}

export function useClient(): DashboardClient {
  const client = useContext(ClientContext);
  if (!client) throw new Error("useClient must be called inside a ClientProvider");
  return client;
}
