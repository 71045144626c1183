import type { Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

/** The server that serves the page also serves gRPC-Web, below the same path. `base` is the document's base URL. */
export const serverTransport = (base: string): Transport =>
  createGrpcWebTransport({ baseUrl: new URL(".", base).href });
