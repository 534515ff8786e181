// Judges recorded requests by the libraries of their providers: JSON lines in, one verdict a line out. README.md has the
// protocol, lock.mjs says why some packages are installed without what they need.

import { createRequire, Module, register } from "node:module";
import { Socket } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
/** A file that its package does not export. */
const file = (path) => fileURLToPath(new URL(`node_modules/${path}`, import.meta.url));

// What a bare package names and has not got stands for nothing, and whatever is asked of it too: no verdict needs it.
const nothing = new Proxy(function () {}, {
  get: (_, name) => (name === "then" ? undefined : name === Symbol.toPrimitive ? () => "" : nothing),
  apply: () => nothing,
  construct: () => nothing,
});
/** A server that keeps what it would do with a request. */
const restify = {
  plugins: nothing,
  createServer: () => ({ use() {}, emit() {}, post: (_, handler) => (restify.handler = handler) }),
};
const load = Module._load;
Module._load = function (name, ...rest) {
  try {
    return load.call(this, name, ...rest);
  } catch (error) {
    if (error.code === "MODULE_NOT_FOUND" && error.message.startsWith(`Cannot find module '${name}'`) && /^[@\w]/.test(name)) {
      return name === "restify" ? restify : nothing;
    }
    throw error;
  }
};

// The same for modules, which say what they want of others, and the little that is wanted in earnest.
const STAND_INS = {
  "#imports": "export const useRuntimeConfig = (event) => ({ webhook: event.config });",
  "@pipedream/platform": "export const axios = undefined; export class ConfigurationError extends Error {}",
  h3: `export const getRequestHeaders = (event) => event.headers;
    export const readRawBody = async (event) => event.body;
    export const createError = ({ message }) => new Error(message);`,
  scule: "export const snakeCase = (text) => text;",
  uuid: "export const v4 = undefined;",
};
const module = (text) => `data:text/javascript,${encodeURIComponent(text)}`;
register(
  module(`const urls = new Map(${JSON.stringify(Object.entries(STAND_INS).map(([name, text]) => [name, module(text)]))});
    export async function resolve(name, context, next) {
      const url = urls.get(name);
      return url ? { url, shortCircuit: true } : next(name, context);
    }`),
);

// The clock stands still at the case's time.
let now = 0;
globalThis.Date = class extends Date {
  constructor(...given) {
    super(...(given.length ? given : [now]));
  }
  static now() {
    return now;
  }
};

// There is no network. Keys that a library would fetch are laid down by its adapter.
const refuse = () => {
  throw new Error("there is no network here");
};
Socket.prototype.connect = refuse;

/** What n8n gives its trigger nodes as `this`: `more` is where one of them looks for its secret. */
const n8n = ({ headers, body, json }, more) => {
  const answer = { status: () => answer, send: () => answer, end: () => answer };
  return {
    getRequestObject: () => ({ header: (name) => headers[name], rawBody: body, body: json() }),
    getResponseObject: () => answer,
    getHeaderData: () => headers,
    getBodyData: json,
    getWorkflowStaticData: () => more.data ?? {},
    getCredentials: async () => more.credentials ?? {},
    getNodeParameter: (_, byDefault) => byDefault,
    getNodeWebhookUrl: () => more.url,
    helpers: { returnJsonArray: (data) => [data] },
  };
};
const node = (name) => require(file(`n8n-nodes-base/dist/nodes/${name}.js`));
/** A trigger with a function of its own for signatures. */
const n8nHelpers = (name, more) => (request) => node(name).verifySignature.call(n8n(request, more(request)));
/** A trigger without: what it takes, it passes on. */
const n8nTrigger = (name, more) => async (request) => {
  const [[, Trigger]] = Object.entries(node(name));
  return "workflowData" in (await Trigger.prototype.webhook.call(n8n(request, more(request))));
};

const nuxt = (name, validate, config) => async ({ headers, text, secret }) => {
  const validators = await import(file(`nuxt-webhook-validators/dist/runtime/server/lib/validators/${name}.js`));
  return validators[validate]({ headers, body: text, config: config(secret) });
};

const tern = (platform) => async ({ method, url, headers, text, secret }) => {
  const { WebhookVerificationService } = require("@hookflo/tern");
  const request = new Request(url, { method, headers, body: text });
  const { isValid, error } = await WebhookVerificationService.verifyWithPlatformConfig(request, platform, secret);
  if (error) throw new Error(error);
  return isValid;
};

/** Where the provider's documentation has its users call Svix' own library. */
const svix = ({ headers, text, secret }) => {
  const { Webhook } = require("svix");
  return Boolean(new Webhook(secret).verify(text, headers));
};

// Each is called as its documentation has it. It refuses by throwing, or by whatever is not `true`.
const ADAPTERS = {
  acuity: n8nHelpers("AcuityScheduling/AcuitySchedulingTriggerHelpers", ({ secret }) => ({ credentials: { apiKey: secret } })),
  "adobe-io-events": ({ headers, text, secret }) => {
    const { verifySignature } = require(file("@adobe/aio-lib-events/src/signatureUtils.js")).exportFunctions;
    const signatures = ["x-adobe-digital-signature-1", "x-adobe-digital-signature-2"].map((name) => headers[name]);
    return verifySignature(signatures, text, secret.credentials, "none");
  },
  agentmail: svix,
  anthropic: ({ headers, text, secret }) => {
    const Anthropic = require("@anthropic-ai/sdk");
    return Boolean(new Anthropic({ apiKey: "none" }).beta.webhooks.unwrap(text, { headers, key: secret }));
  },
  asana: n8nHelpers("Asana/AsanaTriggerHelpers", ({ secret }) => ({ data: { hookSecret: secret } })),
  braintree: async ({ form, secret }) => {
    const { BraintreeGateway, Environment } = require("braintree");
    const keys = { publicKey: secret.public_key, privateKey: secret.api_secret };
    const gateway = new BraintreeGateway({ environment: Environment.Sandbox, merchantId: "none", ...keys });
    return Boolean(await gateway.webhookNotification.parse(form.bt_signature, form.bt_payload));
  },
  brex: async ({ headers, text, json, secret }) => {
    const { default: source } = await import("@pipedream/brex/sources/new-transfer-event/common.mjs");
    let taken = false;
    const rest = { getTransactionDetails: () => ({}), _emit: () => (taken = true), http: { respond: () => {} } };
    await source.run.call({ ...source.methods, getSecretKeys: () => [secret], ...rest }, { headers, bodyRaw: text, body: json() });
    return taken;
  },
  "cal-com": n8nHelpers("Cal/CalTriggerHelpers", ({ secret }) => ({ data: { webhookSecret: secret } })),
  calendly: n8nHelpers("Calendly/CalendlyTriggerHelpers", ({ secret }) => ({ data: { webhookSecret: secret } })),
  cashfree: ({ headers, text, secret }) => {
    const { Cashfree, CFEnvironment } = require("cashfree-pg");
    const cashfree = new Cashfree(CFEnvironment.SANDBOX, "none", secret);
    return Boolean(cashfree.PGVerifyWebhookSignature(headers["x-webhook-signature"], text, headers["x-webhook-timestamp"]));
  },
  chargebee: async ({ headers, secret }) => {
    const { basicAuthValidator } = require("chargebee");
    await basicAuthValidator((user, password) => `${user}:${password}` === secret)(headers);
    return true;
  },
  clickup: n8nTrigger("ClickUp/ClickUpTrigger.node", ({ secret }) => ({ data: { secret } })),
  commercelayer: ({ headers, text, secret }) => {
    const { ok, message } = require("@commercelayer/sdk-utils").checkSignature(text, headers, secret);
    if (!ok) throw new Error(message);
    return ok;
  },
  connectwise: ({ headers, json, secret }) => {
    const { verifyMessage } = require(file("connectwise-rest/dist/utils/Callback.js"));
    return verifyMessage(json(), headers["x-content-signature"], secret);
  },
  crisp: ({ headers, json, secret }) => {
    const { Crisp } = require("crisp-api");
    return new Crisp().verifyWidget(secret, json(), headers["x-crisp-request-timestamp"], headers["x-crisp-signature"]);
  },
  cronofy: ({ headers, text, secret }) => {
    const Cronofy = require("cronofy");
    return new Cronofy({}).hmacValid({ hmac: headers["cronofy-hmac-sha256"], body: text, client_secret: secret });
  },
  "customer-io": n8nHelpers("CustomerIo/CustomerIoTriggerHelpers", ({ secret }) => ({ credentials: { webhookSigningKey: secret } })),
  "dodo-payments": ({ headers, text, secret }) => {
    const DodoPayments = require("dodopayments");
    return Boolean(new DodoPayments({ bearerToken: "none" }).webhooks.unwrap(text, { headers, key: secret }));
  },
  doppler: tern("doppler"),
  dropbox: nuxt("dropbox", "isValidDropboxWebhook", (secret) => ({ dropbox: { appSecret: secret } })),
  ebay: ({ headers, json, secret }) => {
    // It would ask eBay for the key.
    const client = require(file("event-notification-nodejs-sdk/lib/client.js"));
    client.getPublicKey = async () => ({ key: secret.public_key_pem.replaceAll("\n", "") });
    const { validateSignature } = require(file("event-notification-nodejs-sdk/lib/validator.js"));
    return validateSignature(json(), headers["x-ebay-signature"], {});
  },
  elevenlabs: async ({ headers, text, secret }) => {
    const { ElevenLabsClient } = require("@elevenlabs/elevenlabs-js");
    const { webhooks } = new ElevenLabsClient({ apiKey: "none" });
    return Boolean(await webhooks.constructEvent(text, headers["elevenlabs-signature"], secret));
  },
  fathom: ({ headers, text, secret }) => Boolean(require("fathom-typescript").Fathom.verifyWebhook(secret, headers, text)),
  figma: n8nHelpers("Figma/FigmaTriggerHelpers", ({ secret }) => ({ data: { webhookSecret: secret } })),
  finch: ({ headers, text, secret }) => {
    const Finch = require("@tryfinch/finch-api");
    return Boolean(new Finch({ accessToken: "none" }).webhooks.unwrap(text, headers, secret));
  },
  fourthwall: nuxt("fourthwall", "isValidFourthwallWebhook", (secret) => ({ fourthwall: { secretKey: secret } })),
  helpscout: n8nTrigger("HelpScout/HelpScoutTrigger.node", ({ secret }) => ({ data: { secret } })),
  highlevel: ({ headers, text, secret }) => {
    const { WebhookManager } = require(file("@gohighlevel/api-client/dist/lib/webhook/webhook-manager.js"));
    const manager = new WebhookManager(console);
    return manager.verifyEd25519Signature(text, headers["x-ghl-signature"], secret.public_key_pem);
  },
  hook0: ({ headers, text, secret }) => {
    const { verifyWebhookSignature } = require("hook0-client");
    return verifyWebhookSignature(headers["x-hook0-signature"], text, new Headers(headers), secret, 300);
  },
  hookdeck: async ({ headers, text, secret }) => {
    const { verifyWebhookSignature } = require("@hookdeck/sdk/webhooks/helpers");
    return (await verifyWebhookSignature({ headers, rawBody: text, signingSecret: secret })).isValidSignature;
  },
  "incident-io": svix,
  increase: ({ headers, text, secret }) => {
    const Increase = require("increase");
    return Boolean(new Increase({ apiKey: "none" }).events.unwrap(text, { headers, key: secret }));
  },
  intercom: ({ headers, text, json, secret }) => {
    const { intercom } = require("@activepieces/piece-intercom");
    return intercom.events.verify({ payload: { headers, rawBody: text, body: json() }, webhookSecret: secret });
  },
  "jira-connect": ({ method, url, headers, secret }) => {
    const { SymmetricAlgorithm, createQueryStringHash, decodeSymmetric, fromMethodAndUrl } = require("atlassian-jwt");
    const [scheme, token] = (headers.authorization ?? "").split(" ");
    if (scheme !== "JWT") return false;
    const { qsh } = decodeSymmetric(token, secret, SymmetricAlgorithm.HS256);
    const { pathname, search } = new URL(url);
    return qsh === createQueryStringHash(fromMethodAndUrl(method, pathname + search));
  },
  kinde: async ({ text, secret }) => {
    globalThis.fetch = async () => Response.json(secret.jwks);
    return Boolean(await require("@kinde/webhooks").decodeWebhook(text, "https://acme.kinde.com"));
  },
  launchdarkly: async ({ headers, text, secret }) => {
    const { default: source } = await import("@pipedream/launchdarkly/sources/common/webhook.mjs");
    return source.methods.isSignatureValid.call({ getSecret: () => secret }, headers["x-ld-signature"], text);
  },
  "lemon-squeezy": tern("lemonsqueezy"),
  lithic: ({ headers, text, secret }) => {
    const Lithic = require("lithic");
    return Boolean(new Lithic({ apiKey: "none" }).webhooks.unwrap(text, headers, secret));
  },
  mailersend: ({ headers, text, secret }) => {
    const { MailerSendUtils } = require(file("mailersend/lib/services/mailersend.utils.js"));
    return MailerSendUtils.verifyWebHook(text, headers.signature, secret);
  },
  mailtrap: ({ headers, body, secret }) => require("mailtrap").verifyWebhookSignature(body, headers["mailtrap-signature"], secret),
  "modern-treasury": ({ headers, text, secret }) => {
    const ModernTreasury = require("modern-treasury");
    const { webhooks } = new ModernTreasury({ apiKey: "none", organizationID: "none" });
    return webhooks.validateSignature(text, headers, { key: secret });
  },
  mollie: async ({ headers, text, secret }) => {
    const { SignatureValidator } = await import(file("mollie-api-typescript/dist/esm/utils/webhooks/signature_validator.js"));
    return SignatureValidator.validate(text, secret, headers["x-mollie-signature"]);
  },
  nango: ({ headers, text, secret }) => {
    const { Nango } = require("@nangohq/node");
    return new Nango({ secretKey: secret }).verifyIncomingWebhookRequest(text, headers);
  },
  netlify: n8nHelpers("Netlify/NetlifyTriggerHelpers", ({ secret }) => ({ data: { webhookSecret: secret } })),
  npm: ({ headers, text, json, secret }) => {
    require("npm-hook-receiver")({ secret, mount: "/" });
    let status;
    restify.handler({ headers, body: json(), _body: text }, { send: (code) => (status = code) }, () => {});
    return status === 200;
  },
  onfleet: n8nHelpers("Onfleet/OnfleetTriggerHelpers", ({ secret }) => ({ credentials: { signingSecret: secret } })),
  opennode: ({ form, secret }) => {
    const { OpenNodeClient } = require("opennode");
    return new OpenNodeClient(secret).verifySignature(form);
  },
  orb: ({ headers, text, secret }) => {
    const Orb = require("orb-billing");
    return Boolean(new Orb({ apiKey: "none" }).webhooks.unwrap(text, headers, secret));
  },
  paymongo: ({ headers, text, secret }) => {
    const { webhooks } = require("paymongo-node")("none");
    const signatureHeader = headers["paymongo-signature"];
    return Boolean(webhooks.constructEvent({ payload: text, signatureHeader, webhookSecretKey: secret }));
  },
  paystack: ({ headers, json, secret }) => {
    const Events = require(file("paystack-api/resources/events.js"));
    const events = new Events(secret);
    let taken = false;
    const note = () => (taken = true);
    events.on("*", note);
    events.middleware({ headers, body: json() }, { sendStatus: () => {} });
    events.off("*", note);
    return taken;
  },
  "plivo-v3": ({ method, url, headers, form, secret }) => {
    const { "x-plivo-signature-v3-nonce": nonce, "x-plivo-signature-v3": signature } = headers;
    return require("plivo").validateV3Signature(method, url, nonce, secret, signature, form);
  },
  pusher: ({ headers, text, secret }) => {
    const Pusher = require("pusher");
    const pusher = new Pusher({ appId: "none", key: headers["x-pusher-key"], secret, cluster: "eu" });
    return pusher.webhook({ headers, rawBody: text }).isValid();
  },
  quickbooks: ({ headers, json, secret }) => {
    const { Quickbooks } = require("quickbooks-node-promise");
    return Quickbooks.verifyWebhook(secret, json(), headers["intuit-signature"]);
  },
  "recall-ai": svix,
  remotion: ({ headers, json, secret }) => {
    const { validateWebhookSignature } = require("@remotion/lambda-client");
    validateWebhookSignature({ secret, body: json(), signatureHeader: headers["x-remotion-signature"] });
    return true;
  },
  replicate: ({ headers, text, secret }) => require("replicate").validateWebhook({ headers, body: text }, secret),
  saleor: async ({ headers, text, secret }) => {
    const { verifySignatureWithJwks } = require("@saleor/app-sdk/auth");
    await verifySignatureWithJwks(JSON.stringify(secret.jwks), headers["saleor-signature"], text);
    return true;
  },
  scrapfly: async ({ headers, body, secret }) => {
    const { verifySignature } = await import(file("scrapfly-sdk/esm/webhookserver.js"));
    return verifySignature(body, headers["x-scrapfly-webhook-signature"], secret);
  },
  sentry: tern("sentry"),
  sinch: ({ headers, text, secret }) => require("@sinch/sdk-client").validateWebhookSignature(secret, headers, text),
  smartcar: ({ headers, json, secret }) => require("smartcar").verifyPayload(secret, headers["sc-signature"], json()),
  solidgate: ({ headers, text, secret }) => {
    const { Api } = require("@solidgate/node-sdk");
    // It has no function that verifies: events are signed as its own requests are.
    return new Api(secret.public_key, secret.api_secret)._generateSignature(text) === headers.signature;
  },
  stytch: svix,
  supabase: ({ headers, text, secret }) => {
    const { Webhook } = require("standardwebhooks");
    return Boolean(new Webhook(secret).verify(text, headers));
  },
  telegram: ({ method, headers, secret }) => {
    const { Telegraf } = require("telegraf");
    return new Telegraf("none").webhookFilter.call({ path: "/", secretToken: secret }, { method, url: "/", headers });
  },
  terra: ({ headers, text, secret }) => {
    const { verifyTerraWebhookSignature } = require(file("terra-api/dist/cjs/utils.js"));
    return verifyTerraWebhookSignature(text, headers["terra-signature"], secret);
  },
  trello: n8nHelpers("Trello/TrelloTriggerHelpers", ({ secret, url }) => ({ credentials: { oauthSecret: secret }, url })),
  typeform: n8nHelpers("Typeform/TypeformTriggerHelpers", ({ secret }) => ({ data: { webhookSecret: secret } })),
  vanta: svix,
  webex: n8nTrigger("Cisco/Webex/CiscoWebexTrigger.node", ({ secret }) => ({ data: { secret } })),
  webflow: n8nHelpers("Webflow/WebflowTriggerHelpers", ({ secret }) => ({ credentials: { clientSecret: secret } })),
  "wechat-pay": ({ headers, text, secret }) => {
    const Pay = require("wechatpay-node-v3");
    const { "wechatpay-timestamp": timestamp, "wechatpay-nonce": nonce, "wechatpay-serial": serial } = headers;
    Pay.certificates = { [serial]: secret.public_key_pem };
    const signature = headers["wechatpay-signature"];
    return Pay.prototype.verifySign({ timestamp, nonce, body: text, serial, signature, apiSecret: "none" });
  },
  wix: async ({ text, secret }) => {
    const { AppStrategy } = require(file("@wix/sdk/cjs/build/auth/AppStrategy.js"));
    return (await AppStrategy({ appId: "none", publicKey: secret.public_key_pem }).decodeJWT(text)).valid;
  },
  woocommerce: n8nTrigger("WooCommerce/WooCommerceTrigger.node", ({ secret }) => ({ data: { secret } })),
  x: ({ headers, text, secret }) => require("twitter-autohook").validateSignature(headers, { consumer_secret: secret }, text),
  zendesk: n8nHelpers("Zendesk/ZendeskTriggerHelpers", ({ secret }) => ({ data: { webhookSecret: secret } })),
};

async function judge({ provider, case: recorded }) {
  const adapter = ADAPTERS[provider];
  if (!adapter) throw new Error(`there is no adapter for ${provider}`);
  const { secret, method, url } = recorded;
  const headers = Object.fromEntries(recorded.headers.map(([name, value]) => [name.toLowerCase(), value]));
  const body = Buffer.from(recorded.body_b64, "base64");
  const text = body.toString();
  const form = Object.fromEntries(new URLSearchParams(text));
  now = recorded.now * 1000;
  globalThis.fetch = refuse;
  try {
    const verdict = await adapter({ secret, method, url, headers, body, text, form, json: () => JSON.parse(text) });
    return verdict === true ? { verdict: "accept", detail: "" } : { verdict: "reject", detail: `returned ${verdict}` };
  } catch (error) {
    return { verdict: "reject", detail: String(error?.message ?? error) };
  }
}

if (process.argv[2] === "--providers") {
  console.log(Object.keys(ADAPTERS).sort().join("\n"));
} else {
  const say = console.log;
  // Some libraries print what they think of a request.
  for (const name of ["debug", "error", "info", "log", "warn"]) console[name] = () => {};
  for await (const line of createInterface({ input: process.stdin })) say(JSON.stringify(await judge(JSON.parse(line))));
}
