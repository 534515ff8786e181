// Makes package-lock.json anew from package.json: `node lock.mjs`, with a network. Lines that name a host are left out of it.
//
// Of the packages in BARE one file is asked, or a few. What the rest of them needs is not installed: it is a thousand
// packages, not all of which are to be had.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BARE = [
  "@adobe/aio-lib-events",
  "@gohighlevel/api-client",
  "@nangohq/node",
  "@pipedream/brex",
  "@pipedream/launchdarkly",
  "@remotion/lambda-client",
  "@wix/sdk",
  "cashfree-pg",
  "connectwise-rest",
  "crisp-api",
  "event-notification-nodejs-sdk",
  "mollie-api-typescript",
  "n8n-nodes-base",
  "npm-hook-receiver",
  "nuxt-webhook-validators",
  "quickbooks-node-promise",
  "scrapfly-sdk",
  "terra-api",
  "twitter-autohook",
  "wechatpay-node-v3",
];

const here = (name) => new URL(name, import.meta.url);
const npm = (folder, ...given) => execFileSync("npm", given, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

const wanted = JSON.parse(readFileSync(here("package.json")));
const folder = mkdtempSync(join(tmpdir(), "lock-"));
try {
  const whole = Object.entries(wanted.dependencies).filter(([name]) => !BARE.includes(name));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ ...wanted, dependencies: Object.fromEntries(whole) }));
  npm(folder, "install", "--package-lock-only", "--omit-lockfile-registry-resolved", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund");
  const lock = JSON.parse(readFileSync(join(folder, "package-lock.json")));
  lock.packages[""].dependencies = wanted.dependencies;
  for (const name of BARE) {
    const version = wanted.dependencies[name];
    const integrity = npm(folder, "view", `${name}@${version}`, "dist.integrity").trim();
    lock.packages[`node_modules/${name}`] = { version, integrity };
  }
  for (const at of Object.values(lock.packages)) {
    // Nobody's peers or prebuilt files are asked for.
    for (const key of ["peerDependencies", "peerDependenciesMeta", "funding"]) delete at[key];
  }
  const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
  lock.packages = Object.fromEntries(sorted);
  writeFileSync(here("package-lock.json"), `${JSON.stringify(lock, null, 2)}\n`);
} finally {
  rmSync(folder, { recursive: true });
}
