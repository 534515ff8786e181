"""A customer's receiver: JSON lines in, one verdict a line out, by the libraries' own verify functions, with their
default tolerance and this machine's clock.

    {"library": "svix", "secret": "whsec_…", "headers": {"svix-id": "…"}, "body_base64": "…"}
    {"ok": true}   or   {"ok": false, "error": "No matching signature found"}
"""

import base64
import json
import sys

import stripe
import svix.webhooks
import standardwebhooks.webhooks

# Each is called as its documentation has it, and raises where it refuses.
LIBRARIES = {
    "standardwebhooks": lambda secret, headers, body: standardwebhooks.webhooks.Webhook(secret).verify(body, headers),
    "stripe": lambda secret, headers, body: stripe.Webhook.construct_event(
        body, headers.get("stripe-signature"), secret
    ),
    "svix": lambda secret, headers, body: svix.webhooks.Webhook(secret).verify(body, headers),
}

for line in sys.stdin:
    case = json.loads(line)
    receive = LIBRARIES[case["library"]]
    verdict = {"ok": True}
    try:
        receive(case["secret"], case["headers"], base64.b64decode(case["body_base64"]))
    except Exception as error:
        verdict = {"ok": False, "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(verdict), flush=True)
