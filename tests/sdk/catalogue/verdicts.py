"""Requests in, verdicts of the providers' own libraries out: README.md beside this file says how.

    {"provider": "pusher", "case": {"secret": "…", "url": "…", "headers": [["…", "…"]], "body_b64": "…", "now": 1760000000}}
    {"verdict": "accept", "detail": ""}   or   {"verdict": "reject", "detail": "WebhookSignatureError: …"}
"""

import asyncio
import base64
import json
import socket
import sys
from io import BytesIO
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import time_machine


class Fault(BaseException):
    """No verdict: a library that is not there, or one that asks the network."""


class Case:
    """A recorded request as a receiver has it."""

    def __init__(self, case):
        self.secret = case["secret"]
        self.method = case["method"]
        self.url = case["url"]
        self.pairs = [tuple(pair) for pair in case["headers"]]
        self.body = base64.b64decode(case["body_b64"])
        self.now = case["now"]

    def header(self, name):
        """The value of a header in any case, or `None`."""
        return self.headers.get(name.lower())

    @property
    def headers(self):
        """By their names in lower case."""
        return {name.lower(): value for name, value in self.pairs}

    @property
    def text(self):
        return self.body.decode()

    @property
    def form(self):
        return dict(parse_qsl(self.text, keep_blank_values=True))


ADAPTERS = {}


def judges(*providers):
    """Each imports its own library, so that one case costs no more than that."""

    def add(judge):
        ADAPTERS.update({provider: judge for provider in providers})
        return judge

    return add


@judges("agentmail", "incident-io", "stytch", "vanta")
def svix(case):
    # Their documentation has it verified by this library.
    from svix.webhooks import Webhook

    Webhook(case.secret).verify(case.body, case.headers)
    return True


@judges("airwallex")
def airwallex(case):
    from airwallex import webhooks

    event = webhooks.construct_event(
        payload=case.body,
        timestamp=case.header("x-timestamp"),
        signature=case.header("x-signature"),
        secret=case.secret,
    )
    return event is not None


@judges("anthropic")
def anthropic(case):
    from anthropic import Anthropic

    client = Anthropic(api_key="none")
    return client.beta.webhooks.unwrap(case.text, headers=case.headers, key=case.secret) is not None


@judges("atlassian-jira")
def atlassian_jira(case):
    from airflow_inbound_webhooks.sources import JiraSource
    from starlette.datastructures import Headers

    JiraSource().verify(Headers(case.headers), case.body, case.secret)
    return True


@judges("braintree")
def braintree(case):
    from braintree import BraintreeGateway, Configuration, Environment

    keys = {"public_key": case.secret["public_key"], "private_key": case.secret["api_secret"]}
    gateway = BraintreeGateway(Configuration(Environment.Sandbox, merchant_id="none", **keys))
    form = case.form
    return gateway.webhook_notification.parse(form.get("bt_signature"), form.get("bt_payload")) is not None


@judges("cal-com")
def cal_com(case):
    from webhooks_cc.verify import verify_cal_signature

    return verify_cal_signature(case.body, case.header("x-cal-signature-256"), case.secret)


@judges("calendly")
def calendly(case):
    from webhooks_cc.verify import verify_calendly_signature

    return verify_calendly_signature(case.body, case.header("calendly-webhook-signature"), case.secret)


@judges("cashfree")
def cashfree(case):
    from cashfree_pg.api_client import Cashfree

    client = Cashfree(Cashfree.SANDBOX, XClientId="none", XClientSecret=case.secret)
    signature, timestamp = case.header("x-webhook-signature"), case.header("x-webhook-timestamp")
    return client.PGVerifyWebhookSignature(signature, case.text, timestamp) is not None


@judges("castle")
def castle(case):
    from castle.webhooks.verify import WebhooksVerify

    headers = {"X-Castle-Signature": case.header("x-castle-signature")}
    WebhooksVerify.call(SimpleNamespace(headers=headers, data=case.body), SimpleNamespace(api_secret=case.secret))
    return True


@judges("convoy")
def convoy(case):
    from convoy.utils.webhook import Webhook

    # A refusal is its words, in place of `True`.
    return Webhook(case.secret).verify_signature(case.text, case.header("x-convoy-signature")) is True


@judges("cronofy")
def cronofy(case):
    from pycronofy import Client

    return Client(client_secret=case.secret).hmac_valid(case.header("cronofy-hmac-sha256"), case.text)


@judges("dodo-payments")
def dodo_payments(case):
    from dodopayments import DodoPayments

    client = DodoPayments(bearer_token="none")
    return client.webhooks.unwrap(case.text, headers=case.headers, key=case.secret) is not None


@judges("elevenlabs")
def elevenlabs(case):
    from elevenlabs.client import ElevenLabs

    webhooks = ElevenLabs(api_key="none").webhooks
    return webhooks.construct_event(case.text, case.header("elevenlabs-signature"), case.secret) is not None


@judges("fathom")
def fathom(case):
    from fathom_python import Fathom

    Fathom.verify_webhook(case.secret, case.headers, case.text)
    return True


@judges("finch")
def finch(case):
    from finch import Finch

    client = Finch(access_token="none")
    client.webhooks.verify_signature(case.body, case.headers, secret=case.secret)
    return True


@judges("highlevel")
def highlevel(case):
    import logging

    from highlevel.webhook.webhook_manager import WebhookManager

    manager = WebhookManager(logging.getLogger("none"), None, None)
    return manager.verify_ed25519_signature(case.text, case.header("x-ghl-signature"), case.secret["public_key_pem"])


@judges("gitea")
def gitea(case):
    from buildbot_gitea.webhook import GiteaHandler

    request = SimpleNamespace(content=BytesIO(case.body), getHeader=case.header, args={})
    told = []
    GiteaHandler(None, {"secret": case.secret}).getChanges(request).addBoth(told.append)
    if isinstance(told[0], tuple):
        return True
    told[0].raiseException()


@judges("gitlab-signing", "render", "supabase")
def standard_webhooks(case):
    # Their own examples verify by this library.
    from standardwebhooks.webhooks import Webhook

    return Webhook(case.secret).verify(case.body, case.headers) is not None


@judges("hook0")
def hook0(case):
    from hook0 import verify_webhook_signature

    return verify_webhook_signature(case.header("x-hook0-signature"), case.body, case.pairs, case.secret, 300)


@judges("hookdeck")
def hookdeck(case):
    from hookdeck.verify import verify_signature

    return verify_signature(case.headers, case.body, case.secret)


@judges("huggingface")
def huggingface(case):
    from huggingface_hub import _webhooks_server as server
    from starlette.requests import Request

    server._load_fastapi()
    protected = server._wrap_webhook_to_check_secret(lambda: True, case.secret)
    headers = [(name.encode(), value.encode()) for name, value in case.headers.items()]
    return asyncio.run(protected(Request({"type": "http", "headers": headers}))) is True


@judges("increase")
def increase(case):
    from increase import Increase

    # Given to the client, the secret is the key as it stands; `key` would be decoded.
    client = Increase(api_key="none", webhook_secret=case.secret)
    return client.events.unwrap(case.text, headers=case.headers) is not None


@judges("intercom")
def intercom(case):
    from webhooks_cc.verify import verify_intercom_signature

    return verify_intercom_signature(case.body, case.header("x-hub-signature"), case.secret)


@judges("jira-connect")
def jira_connect(case):
    from atlassian_jwt import Authenticator

    class App(Authenticator):
        def get_shared_secret(self, client_key):
            return case.secret

    # It wants the URL below the app's base.
    return App().authenticate(case.method, "/" + case.url.split("/", 3)[3], dict(case.pairs)) is not None


@judges("lemon-squeezy")
def lemon_squeezy(case):
    from webhooks_cc.verify import verify_lemon_squeezy_signature

    return verify_lemon_squeezy_signature(case.body, case.header("x-signature"), case.secret)


@judges("lithic")
def lithic(case):
    from lithic import Lithic

    Lithic(api_key="none").webhooks.verify_signature(case.body, case.headers, secret=case.secret)
    return True


@judges("mandrill")
def mandrill(case):
    from anymail.webhooks.mandrill import MandrillCombinedWebhookView

    request = django_request(case)
    MandrillCombinedWebhookView(webhook_key=case.secret, webhook_url=case.url).run_validators(request)
    return True


@judges("midtrans")
def midtrans(case):
    django_settings()
    from django_midtrans.client import MidtransClient

    told = json.loads(case.body)
    fields = [told.get(name, "") for name in ("order_id", "status_code", "gross_amount", "signature_key")]
    return MidtransClient.verify_signature(*fields, server_key=case.secret)


@judges("modern-treasury")
def modern_treasury(case):
    from modern_treasury import ModernTreasury

    client = ModernTreasury(api_key="none", organization_id="none")
    return client.webhooks.validate_signature(case.text, case.headers, key=case.secret)


@judges("mollie")
def mollie(case):
    from mollie.utils.webhooks.signature_validator import SignatureValidator

    return SignatureValidator.validate(case.text, case.secret, case.header("x-mollie-signature"))


@judges("nuvei")
def nuvei(case):
    from nuvei.webhook import verify_webhook

    return verify_webhook(case.form, case.secret)


@judges("onfido")
def onfido(case):
    from onfido import WebhookEventVerifier

    return WebhookEventVerifier(case.secret).read_payload(case.text, case.header("x-sha2-signature")) is not None


@judges("orb")
def orb(case):
    from orb import Orb

    Orb(api_key="none").webhooks.verify_signature(case.body, case.headers, secret=case.secret)
    return True


@judges("paymob")
def paymob(case):
    from paymobz.resources.webhooks import WebhookResource

    hmac = dict(parse_qsl(urlsplit(case.url).query))["hmac"]
    return WebhookResource(case.secret).verify_mac(json.loads(case.body), hmac)


@judges("paypal")
def paypal(case):
    from webhooks_cc.verify import verify_paypal_signature

    certificates = case.secret["certificates_by_url"]
    fetch = certificates.__getitem__
    return verify_paypal_signature(case.body, case.headers, case.secret["webhook_id"], fetch_certificate=fetch)


@judges("paystack")
def paystack(case):
    from pypaystack2 import PaystackClient

    client = PaystackClient(secret_key=case.secret)
    return client.is_verified_webhook_payload(case.body, case.header("x-paystack-signature"))


@judges("phonepe-v2")
def phonepe_v2(case):
    from phonepe.sdk.pg.common.utils.hash_utils import is_callback_valid

    return is_callback_valid(*case.secret.split(":", 1), case.header("authorization"))


@judges("pusher")
def pusher(case):
    from pusher import Pusher

    key = case.header("x-pusher-key")
    client = Pusher(app_id="1", key=key, secret=case.secret)
    return client.validate_webhook(key, case.header("x-pusher-signature"), case.text) is not None


@judges("quickbooks")
def quickbooks(case):
    from quickbooks import QuickBooks

    client = QuickBooks(minorversion=75)
    return client.validate_webhook_signature(case.text, case.header("intuit-signature"), case.secret)


@judges("replicate")
def replicate(case):
    from replicate.webhook import Webhooks, WebhookSigningSecret

    # Without a tolerance it does not ask for the time.
    Webhooks.validate(
        headers=case.headers, body=case.text, secret=WebhookSigningSecret(key=case.secret), tolerance=300
    )
    return True


@judges("revolut")
def revolut(case):
    from revolut.webhooks_verify import verify_signature

    event = verify_signature(
        case.body,
        signature_header=case.header("revolut-signature"),
        timestamp_header=case.header("revolut-request-timestamp"),
        signing_secret=case.secret,
    )
    return event is not None


@judges("saleor")
def saleor(case):
    from jwt.api_jwk import PyJWKSet
    from saleor_sdk.crypto.utils import decode_webook_payload

    keys = PyJWKSet.from_dict(case.secret["jwks"])
    return decode_webook_payload(case.header("saleor-signature"), keys, case.body) is not None


@judges("scrapfly")
def scrapfly(case):
    from scrapfly.webhook import create_server

    taken = []
    receiver = create_server(case.secret, lambda *_: taken.append(True)).test_client()
    receiver.post("/webhook", data=case.body, headers=case.pairs)
    return taken == [True]


@judges("sentry")
def sentry(case):
    from webhooks_cc.verify import verify_sentry_signature

    return verify_sentry_signature(case.body, case.header("sentry-hook-signature"), case.secret)


@judges("sinch")
def sinch(case):
    from sinch.domains.conversation.sinch_events.v1.conversation_sinch_event import ConversationSinchEvent

    return ConversationSinchEvent(case.secret).validate_authentication_header(case.headers, case.body)


@judges("smartcar")
def smartcar(case):
    from smartcar import verify_payload

    return verify_payload(case.secret, case.header("sc-signature"), case.text)


@judges("sparkpost")
def sparkpost(case):
    from anymail.webhooks.sparkpost import SparkPostTrackingWebhookView

    request = django_request(case)
    SparkPostTrackingWebhookView(webhook_secret=case.secret["credentials"]).run_validators(request)
    return True


@judges("telegram")
def telegram(case):
    from webhooks_cc.verify import verify_telegram_signature

    return verify_telegram_signature(case.body, case.header("x-telegram-bot-api-secret-token"), case.secret)


@judges("terra")
def terra(case):
    from terra.utils.verify_signature import verify_terra_webhook_signature

    return verify_terra_webhook_signature(case.text, case.header("terra-signature"), case.secret)


@judges("tiktok-shop")
def tiktok_shop(case):
    from tiktok_shop_api import Webhooks

    keys = {"app_key": case.secret["app_key"], "app_secret": case.secret["api_secret"]}
    return Webhooks.verify(**keys, raw_body=case.body, signature=case.header("authorization"))


@judges("typeform")
def typeform(case):
    from webhooks_cc.verify import verify_typeform_signature

    return verify_typeform_signature(case.body, case.header("typeform-signature"), case.secret)


@judges("wechat-pay")
def wechat_pay(case):
    from wechatpayv3.utils import load_public_key, rsa_verify

    head = case.header("wechatpay-timestamp"), case.header("wechatpay-nonce")
    key = load_public_key(case.secret["public_key_pem"])
    return rsa_verify(*head, case.text, case.header("wechatpay-signature"), key)


@judges("x")
def x(case):
    from flask import Flask
    from pyee import EventEmitter
    from twitterwebhooks.server import WebhookServer

    server = WebhookServer(case.secret, "/in", EventEmitter(), None)
    with Flask("receiver").test_request_context("/in", method="POST", data=case.body, headers=case.headers):
        return server.verify_request(case.body)


def django_settings():
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], USE_TZ=True)
        django.setup()


def django_request(case):
    """A request as a view of Django's gets it."""
    django_settings()
    from django.test import RequestFactory

    headers = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in case.headers.items()}
    content_type = headers.pop("HTTP_CONTENT_TYPE", "application/json")
    return RequestFactory().generic(case.method, case.url, case.body, content_type=content_type, **headers)


def forbid_network(*_):
    raise Fault("a library asks the network")


def verdict(provider, case):
    judge, case = ADAPTERS[provider], Case(case)
    with time_machine.travel(case.now, tick=False):
        try:
            # Some give a word for a refusal, or the event, so each judge says by itself what is good.
            return {"verdict": "accept", "detail": ""} if judge(case) is True else refusal("not accepted")
        except ImportError as error:
            raise Fault(f"{provider}: {error}") from error
        except Exception as error:
            return refusal(f"{type(error).__name__}: {error}")


def refusal(detail):
    return {"verdict": "reject", "detail": detail[:200]}


def main():
    if sys.argv[1:] == ["--providers"]:
        print("\n".join(sorted(ADAPTERS)))
        return
    socket.socket.connect = socket.getaddrinfo = forbid_network
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(verdict(asked["provider"], asked["case"])), flush=True)


main()
