// A customer's receiver: JSON lines in, one verdict a line out, by the libraries' own verify functions, with their
// default tolerance and this machine's clock.
//
//   {"library": "svix", "secret": "whsec_…", "headers": {"svix-id": "…"}, "body_base64": "…"}
//   {"ok": true}   or   {"ok": false, "error": "No matching signature found"}

import { createInterface } from "node:readline";

import { verify } from "@octokit/webhooks-methods";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";

// Each is called as its documentation has it, and throws where it refuses.
const LIBRARIES = {
  "@octokit/webhooks-methods": async ({ secret, headers, body }) => {
    if (!(await verify(secret, body.toString(), headers["x-hub-signature-256"]))) throw new Error("verify returned false");
  },
  standardwebhooks: ({ secret, headers, body }) => new StandardWebhook(secret).verify(body, headers),
  stripe: ({ secret, headers, body }) => Stripe.webhooks.constructEvent(body, headers["stripe-signature"], secret),
  svix: ({ secret, headers, body }) => new SvixWebhook(secret).verify(body, headers),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { library, secret, headers, body_base64 } = JSON.parse(line);
  const receive = LIBRARIES[library];
  if (!receive) throw new Error(`there is no library ${library}`);
  let verdict = { ok: true };
  try {
    await receive({ secret, headers, body: Buffer.from(body_base64, "base64") });
  } catch (error) {
    verdict = { ok: false, error: String(error.message) };
  }
  console.log(JSON.stringify(verdict));
}
