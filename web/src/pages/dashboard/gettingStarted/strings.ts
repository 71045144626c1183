// The words for a server without events.

export const startStrings = {
  title: "Send the first event",
  waiting: "Waiting for the first event",
  intro:
    "This server is ready and has no events yet. Run one of these, or press the button. The panels appear here within seconds, without a reload.",
  snippets: "Snippets",
  sendTest: "Send a test event",
  sent: "Test event accepted",
  sentHint: "It appears in the panels within a second.",
  sendFailed: "The test event was not accepted",
  progress: "Seen so far",
  progressHint: (seen: number, total: number) => `${seen} of ${total} panels have data`,
  needs: "needs",
  seen: "has data",
  unseen: "no data yet",
} as const;
