// A client of the contract for pages: a test says what each method responds.

import type { GrpcWebClient, Method } from "../api/grpcWeb.ts";

type Respond = (request: never) => unknown;

export class FakeClient implements GrpcWebClient {
  calls: { path: string; request: unknown }[] = [];
  private readonly responses = new Map<string, Respond>();

  /** Throw to fail. */
  on<Request, Response>(
    { path }: Method<Request, Response, "unary">,
    respond: (request: Request) => Partial<Response> | Promise<Partial<Response>>,
  ): this {
    this.responses.set(path, respond as Respond);
    return this;
  }

  requests<Request, Response>({ path }: Method<Request, Response, "unary">): Request[] {
    return this.calls.filter((call) => call.path === path).map(({ request }) => request as Request);
  }

  unary: GrpcWebClient["unary"] = async ({ path }, request) => {
    this.calls.push({ path, request });
    const respond = this.responses.get(path);
    if (!respond) throw new Error(`unexpected call ${path}`);
    return (await respond(request as never)) as never;
  };

  stream: GrpcWebClient["stream"] = () => {
    throw new Error("no stream is expected");
  };
}
