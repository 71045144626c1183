// The words of the log-in.

export const logInStrings = {
  title: "Log in to Millrace",
  key: "Key",
  hint: "A key with the scope read or admin, as `millrace keys create` printed it",
  missing: "Enter a key",
  submit: "Log in",
  unreachable: "The server cannot be reached",
  provider: (name: string) => `Log in with ${name}`,
  or: "or with a key",
  failures: {
    refused: (provider: string) => `${provider} has refused the log-in`,
    no_role: () => "You have no role here. An administrator of this server can give you one",
    expired: () => "The log-in took too long, or was begun in another window. Log in again",
    unavailable: (provider: string) => `${provider} cannot be reached. Try again later`,
    failed: () => "The log-in has failed. The server's log says why",
  },
} as const;
