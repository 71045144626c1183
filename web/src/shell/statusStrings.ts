// The details of the connection.

export const statusStrings = {
  pollingDetail: "The live stream does not get through, for example because a proxy buffers it. The panels are polled.",
  liveDetail: "New events are on the page within a second.",
  connectingDetail: "Waiting for the first response of the server.",
  lastHeard: "Last heard from the server",
} as const;
