// @segment/analytics-node against SEGMENT_HOST, which fails some of the requests. Sends EVENTS track calls and one of each
// other call.

import { Analytics } from "@segment/analytics-node";

const errors = [];
const analytics = new Analytics({
  writeKey: "any",
  host: process.env.SEGMENT_HOST,
  flushAt: 100,
  maxRetries: 30,
  httpRequestTimeout: 2_000,
});
analytics.on("error", (error) => errors.push(error));

const userId = "ada";
const anonymousId = "node";
analytics.identify({ userId, anonymousId, traits: { plan: "pro" } });
analytics.group({ userId, anonymousId, groupId: "acme", traits: { seats: 5 } });
analytics.alias({ userId, previousId: anonymousId });
analytics.page({ userId, anonymousId, name: "Pricing", properties: { path: "/pricing" } });
analytics.screen({ userId, anonymousId, name: "Home" });
for (let n = 0; n < Number(process.env.EVENTS); n++) {
  analytics.track({ userId, anonymousId, event: "Order Completed", properties: { n } });
}
await analytics.closeAndFlush({ timeout: 150_000 });
if (errors.length > 0) throw new Error(`${errors.length} errors, the first: ${JSON.stringify(errors[0])}`);
console.log("ok");
